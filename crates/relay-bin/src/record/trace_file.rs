//! The file of a recording. If a write fails, as on a full disk, it is truncated to its last whole record.

use std::{
    fs::File,
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

/// A file and the records to be written next.
#[derive(Debug)]
pub(super) struct TraceFile {
    file: File,
    path: PathBuf,
    /// The length of the file before the waiting bytes.
    length: u64,
    waiting: Vec<u8>,
    /// How many of the waiting bytes are in the file.
    written: usize,
    /// For each waiting record, where it ends and how many packets the file has up to there.
    ends: Vec<(usize, u64)>,
    /// How many packets were written before the waiting ones.
    packets: u64,
}

/// What a truncated file contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    /// Whether it ends with a whole record.
    pub(super) is_whole: bool,
}

impl TraceFile {
    /// A file that has its header, and an empty buffer.
    pub(super) fn new(file: File, path: PathBuf, buffer: Vec<u8>) -> Self {
        // A pipe has no length, and is not truncated.
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        Self { file, path, length, waiting: buffer, written: 0, ends: Vec::new(), packets: 0 }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The buffer to append the next record to.
    pub(super) const fn out(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// Ends the record. The trace now has `packets`.
    pub(super) fn end_record(&mut self, packets: u64) {
        self.ends.push((self.waiting.len(), packets));
    }

    /// The number of waiting bytes.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Writes all waiting bytes.
    ///
    /// # Errors
    ///
    /// When the file does not take all bytes. The caller must then [cut](Self::cut) it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.written < self.waiting.len() {
            match self.file.write(&self.waiting[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.length += u64::try_from(self.waiting.len()).unwrap_or_default();
        if let Some((_, packets)) = self.ends.last() {
            self.packets = *packets;
        }
        self.waiting.clear();
        self.ends.clear();
        self.written = 0;
        Ok(())
    }

    /// Like [`Self::flush`], at the end. Also syncs the file to the disk, unless it is a pipe.
    ///
    /// # Errors
    ///
    /// When [`Self::flush`] fails, or the disk does.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        if self.file.metadata()?.is_file() { self.file.sync_all() } else { Ok(()) }
    }

    /// Truncates the file after the last whole record.
    pub(super) fn cut(&mut self) -> Kept {
        let last = self.ends.iter().rfind(|(end, _)| *end <= self.written);
        let (end, packets) = last.copied().unwrap_or((0, self.packets));
        let bytes = self.length + u64::try_from(end).unwrap_or_default();
        let is_whole = end == self.written || self.file.set_len(bytes).is_ok();
        Kept { packets, bytes, is_whole }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn append(file: &mut TraceFile, record: &[u8], packets: u64) {
        file.out().extend_from_slice(record);
        file.end_record(packets);
    }

    #[test]
    fn a_record_that_was_written_in_part_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        fs::write(&path, b"head").unwrap();
        let open = File::options().append(true).open(&path).unwrap();
        let mut file = TraceFile::new(open, path.clone(), Vec::new());
        append(&mut file, b" one", 1);
        file.flush().unwrap();
        append(&mut file, b" two", 2);
        append(&mut file, b" three", 3);
        // As if the disk had become full here.
        file.file.write_all(b" two th").unwrap();
        file.written = 7;
        assert_eq!(file.cut(), Kept { packets: 2, bytes: 12, is_whole: true });
        assert_eq!(fs::read(&path).unwrap(), b"head one two");
    }

    #[test]
    fn a_file_that_takes_nothing_ends_with_what_it_took_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        fs::write(&path, b"head").unwrap();
        let mut file = TraceFile::new(File::open(&path).unwrap(), path.clone(), Vec::new());
        append(&mut file, b" one", 1);
        assert!(file.flush().is_err(), "it is open for reading only");
        assert_eq!(file.cut(), Kept { packets: 0, bytes: 4, is_whole: true });
        assert_eq!(fs::read(&path).unwrap(), b"head");
    }
}
