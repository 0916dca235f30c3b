//! Frames are found whatever pieces they come in.

use super::*;

#[test]
fn a_frame_is_whole_or_not_there() {
    let sent = [&[0, 0, 0, 3][..], b"abc", &[0, 0, 0, 0], &[0, 0, 0, 1], b"d"].concat();
    for piece in 1..=sent.len() {
        let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
        for bytes in sent.chunks(piece) {
            buffer.extend_from_slice(bytes);
            while let Some(frame) = cut(&mut buffer).unwrap() {
                frames.push(frame);
            }
        }
        assert_eq!(frames, [&b"abc"[..], b"", b"d"], "in pieces of {piece}");
        assert!(buffer.is_empty());
    }
}

#[test]
fn nobody_makes_us_wait_for_gigabytes() {
    let mut buffer = BytesMut::from(&[0xff, 0xff, 0xff, 0xff, 0][..]);
    assert!(cut(&mut buffer).unwrap_err().contains("4294967295"));
}
