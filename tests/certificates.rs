//! Certificates that a test makes for itself, with the program `openssl`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An authority that nobody else trusts, and what it has signed, in a folder of its own.
pub(crate) struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    /// A new authority.
    pub(crate) fn new() -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        made.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout ca.key -out ca.pem \
             -subj /CN=authority -addext basicConstraints=critical,CA:TRUE",
        );
        made
    }

    /// The file with the certificate of the authority.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Signs a certificate for a server of this name. Returns the files of certificate and key.
    pub(crate) fn server(&self, host: &str) -> (PathBuf, PathBuf) {
        let extension = format!("subjectAltName=DNS:{host}\n");
        fs::write(self.folder.path().join("extension"), extension).unwrap();
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out request -subj /CN={host}"
        ));
        self.openssl(
            "x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extension -out server.pem",
        );
        let file = |name: &str| self.folder.path().join(name);
        (file("server.pem"), file("server.key"))
    }

    fn openssl(&self, arguments: &str) {
        run(self.folder.path(), arguments);
    }
}

fn run(folder: &Path, arguments: &str) {
    let done = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("there is 'openssl': install the package openssl");
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "openssl {arguments}: {told}");
}
