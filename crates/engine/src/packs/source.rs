//! Where packs come from: a file, or the packs inside the binary.

use super::yaml::bad_input;
use crate::error::EngineError;
use campanile_model::nearest::suggestion;

/// The packs inside the binary, by name.
const EMBEDDED: [(&str, &str); 1] = [("itsm", include_str!("../../../../packs/itsm/pack.yaml"))];

/// A pack's document, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackSource {
    /// Where it came from, for messages: a file, or a pack's name.
    pub name_or_path: String,
    /// The document.
    pub text: String,
}

/// The pack in the file of this name, else the one of this name inside the binary.
///
/// # Errors
/// [`EngineError::BadInput`] when there is neither, naming the packs that there are, or when the file cannot be read.
pub fn find(name_or_path: &str) -> Result<PackSource, EngineError> {
    let source = |text: String| PackSource { name_or_path: name_or_path.to_owned(), text };
    match std::fs::read_to_string(name_or_path) {
        Ok(text) => Ok(source(text)),
        Err(error) => match EMBEDDED.iter().find(|(name, _)| *name == name_or_path) {
            Some((_, text)) => Ok(source((*text).to_owned())),
            None => Err(bad_input(name_or_path, "", unreadable(name_or_path, &error))),
        },
    }
}

/// Names of the packs inside the binary.
#[must_use]
pub fn embedded_names() -> Vec<&'static str> {
    EMBEDDED.iter().map(|(name, _)| *name).collect()
}

fn unreadable(name_or_path: &str, error: &std::io::Error) -> String {
    if error.kind() != std::io::ErrorKind::NotFound {
        return format!("the file could not be read: {error}");
    }
    let names = embedded_names();
    format!(
        "there is no such file, and no pack of this name is inside the binary{}; it has: {}",
        suggestion(name_or_path, names.iter().copied()),
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_inside_the_binary_is_found_by_name() {
        assert!(find("itsm").unwrap().text.starts_with("campanile: pack/v1"));
    }

    #[test]
    fn a_file_is_found_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.yaml");
        std::fs::write(&file, "name: mine").unwrap();
        assert_eq!(find(file.to_str().unwrap()).unwrap().text, "name: mine");
    }

    #[test]
    fn a_pack_that_is_nowhere_is_told_with_those_that_are() {
        let told = find("itms").unwrap_err().to_string();
        assert!(told.contains("did you mean 'itsm'?") && told.contains("it has: itsm"), "{told}");
        let folder = find("/").unwrap_err().to_string();
        assert!(folder.contains("could not be read"), "{folder}");
    }
}
