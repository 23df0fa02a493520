//! What a program for Linux needs to start (ELF, System V ABI, chapters 4 and 5).

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use object::read::elf::{ElfFile64, ProgramHeader as _};
use object::{Endianness, ReadCache};

/// The dynamic linker that a program of 64 bits asks for; `None` for a static one, and for
/// what is no such program.
pub(crate) fn interpreter(file: &File) -> Option<PathBuf> {
    let file = ReadCache::new(file);
    let program = ElfFile64::<Endianness, _>::parse(&file).ok()?;
    let endian = program.endian();
    let mut headers = program.elf_program_headers().iter();
    let path = headers.find_map(|header| header.interpreter(endian, program.data()).ok()?)?;
    Some(PathBuf::from(OsStr::from_bytes(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_names_its_linker_and_other_files_none() {
        let shell = interpreter(&File::open("/bin/sh").unwrap()).unwrap();
        assert!(shell.is_absolute(), "{}", shell.display());
        assert_eq!(interpreter(&File::open("/etc/passwd").unwrap()), None);
    }
}
