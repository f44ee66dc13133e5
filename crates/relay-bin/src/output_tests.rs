//! Tests of the output queue with a reader that blocks.

use std::sync::{
    Mutex,
    mpsc::{Sender, channel},
};

use super::*;

/// An output that blocks until the test lets it write, and passes on what was written.
struct Gate {
    let_in: Receiver<io::Result<usize>>,
    taken: Sender<Vec<u8>>,
}

impl Write for Gate {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // The test has dropped its end: write everything.
        let taken = self.let_in.recv().unwrap_or(Ok(usize::MAX))?.min(text.len());
        let _ = self.taken.send(text[..taken].to_vec());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Fixture {
    stream: Arc<Stream>,
    let_in: Sender<io::Result<usize>>,
    taken: Receiver<Vec<u8>>,
    told: Arc<Mutex<Vec<u64>>>,
}

fn start() -> Fixture {
    let (let_in, gate) = channel();
    let (tell_taken, taken) = channel();
    let told = Arc::<Mutex<Vec<u64>>>::default();
    let written = Arc::clone(&told);
    let gate = Gate { let_in: gate, taken: tell_taken };
    let stream = Stream::start("test", gate, move |lost| written.lock().unwrap().push(lost)).unwrap();
    Fixture { stream, let_in, taken, told }
}

fn lines(taken: &Receiver<Vec<u8>>) -> String {
    String::from_utf8(taken.try_iter().flatten().collect()).unwrap()
}

#[test]
fn texts_are_written_in_their_order_and_waited_for() {
    let Fixture { stream, let_in, taken, told } = start();
    drop(let_in);
    for number in 0..100 {
        writeln!(&*stream, "line {number}").unwrap();
    }
    stream.finish();
    let text = lines(&taken);
    assert!(text.starts_with("line 0\nline 1\n") && text.ends_with("line 99\n"), "{text}");
    assert_eq!(stream.losses(), Losses::default());
    assert!(told.lock().unwrap().is_empty());
}

#[test]
fn nobody_waits_for_a_stream_that_nobody_reads_and_what_is_lost_is_counted_and_told() {
    let Fixture { stream, let_in, taken, told } = start();
    let more = 5;
    // The thread takes one text out of the queue and blocks on it.
    for _ in 0..=TEXTS + more {
        stream.say("x");
    }
    let lost = stream.losses().queue_full;
    assert!((more as u64..=more as u64 + 1).contains(&lost), "{lost}");
    // Gives up after a while.
    stream.finish();
    assert!(taken.try_recv().is_err());
    drop(let_in);
    stream.finish();
    assert_eq!(lines(&taken).len() as u64, TEXTS as u64 + more as u64 + 1 - lost);
    assert_eq!(told.lock().unwrap().iter().sum::<u64>(), lost);
}

#[test]
fn the_bytes_that_wait_are_bounded() {
    let Fixture { stream, let_in, taken, .. } = start();
    let text = vec![b'x'; BYTES / 4];
    for _ in 0..6 {
        stream.say(&text);
    }
    assert_eq!(stream.losses(), Losses { queue_full: 2, write_failed: 0 });
    drop(let_in);
    stream.finish();
    assert_eq!(taken.try_iter().map(|part| part.len()).sum::<usize>(), BYTES);
    stream.say(text);
    stream.finish();
    assert_eq!(stream.losses().queue_full, 2, "there is room again");
}

#[test]
fn what_the_system_refuses_is_counted_and_the_next_line_begins_anew() {
    let Fixture { stream, let_in, taken, told } = start();
    let full = || Err(io::Error::from(ErrorKind::StorageFull));
    for result in [Ok(2), full(), full(), Ok(1), Err(ErrorKind::WouldBlock.into()), Ok(1), Ok(usize::MAX)] {
        let_in.send(result).unwrap();
    }
    drop(let_in);
    for line in ["first\n", "second\n", "third\n"] {
        stream.say(line);
    }
    stream.finish();
    assert_eq!(lines(&taken), "fi\nthird\n");
    assert_eq!(stream.losses(), Losses { queue_full: 0, write_failed: 2 });
    assert_eq!(*told.lock().unwrap(), [2]);
}
