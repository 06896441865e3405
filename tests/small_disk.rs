//! A disk that can be full.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of its own, of a size that can be changed.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where the test may not mount.
    pub(crate) fn mounted(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let is_mounted = mount(&["-t", "tmpfs", "tmpfs"], bytes, folder.path());
        is_mounted.then_some(Self(folder))
    }

    pub(crate) fn grow(&self, bytes: u64) {
        assert!(mount(&["-t", "tmpfs"], bytes, self.0.path()), "the disk grows");
    }

    /// Its root.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills what is left with a file of somebody else; removing it makes room.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.0.path().join("of somebody else");
        let mut file = std::fs::File::create(&path).unwrap();
        let block = vec![7_u8; 4_096];
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(done.is_ok_and(|s| s.success()) || std::thread::panicking(), "it is unmounted");
    }
}

fn mount(kind: &[&str], bytes: u64, at: &Path) -> bool {
    let again = if kind.len() == 2 { "remount," } else { "" };
    let options = format!("{again}size={bytes}");
    let output = Command::new("mount").args(kind).arg("-o").arg(options).arg(at).output();
    output.is_ok_and(|output| output.status.success())
}
