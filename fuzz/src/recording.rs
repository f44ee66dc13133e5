use relay_replay::{Diagnosis, Filter, Kind, Session};

/// Any file is shown packet by packet; where it says that a relay recorded it, the relay's own state machine runs again.
pub fn recording(input: &[u8]) {
    let mut session = Session::new();
    session.push(input);
    session.end();
    for (index, row) in (0_u32..).zip(session.rows()) {
        let start = usize::try_from(row.file_offset).expect("within the file");
        let captured = usize::try_from(row.captured).expect("within the file");
        let frame = &input[start..start + captured];
        for field in session.dissect(index, frame) {
            assert!(field.range.start <= field.range.end && field.range.end <= frame.len());
        }
        let _ = (
            session.explain(index, frame, &[]),
            session.view_at(index),
            session.changes(index),
            session.comment(index),
        );
    }
    let _ = (session.warnings(), session.endpoints(), session.differences(), session.troubles());
    let mut diagnosis = Diagnosis::new();
    diagnosis.push(input);
    let report = diagnosis.finish();
    let packets = session.rows().iter().filter(|row| row.kind != Kind::Internal).count() as u64;
    assert_eq!(report.capture.packets, packets, "it reads as far as the session");
    if let Ok(filter) = String::from_utf8_lossy(input).parse::<Filter>() {
        let _ = session.filter(&filter);
    }
}
