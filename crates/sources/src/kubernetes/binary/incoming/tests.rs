//! Objects are found whatever pieces they come in.

use proptest::prelude::*;

use super::*;

#[test]
fn a_frame_is_whole_or_not_there() {
    let sent = [&[0, 0, 0, 3][..], b"abc", &[0, 0, 0, 0], &[0, 0, 0, 1], b"d"].concat();
    for piece in 1..=sent.len() {
        let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
        for bytes in sent.chunks(piece) {
            buffer.extend_from_slice(bytes);
            while let Some(frame) = cut_frame(&mut buffer).unwrap() {
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
    assert!(cut_frame(&mut buffer).unwrap_err().contains("4294967295"));
    let long = [&b"k8s\0\x12\xff\xff\xff\xff\x0f"[..], b"\x12\xff\xff\xff\x7f"].concat();
    assert!(parts(&long, long.len()).unwrap_err().contains("268435455 bytes"));
}

/// A field with a length.
fn field_of(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    prost::encoding::encode_varint(bytes.len() as u64, &mut field);
    [field, bytes.to_vec()].concat()
}

/// What an API server sends of a list.
fn sent(list: &[u8]) -> Vec<u8> {
    let outer =
        [field_of(1, b"\x0a\x02v1\x12\x07PodList"), field_of(2, list), field_of(3, b""), field_of(4, b"")];
    [MARK.to_vec(), outer.concat()].concat()
}

/// What is found of it in pieces of a size, and where that ends.
fn parts(sent: &[u8], piece: usize) -> Result<(Vec<Part>, Place), String> {
    let (mut buffer, mut place, mut parts) = (BytesMut::new(), Place::Mark, Vec::new());
    for bytes in sent.chunks(piece) {
        buffer.extend_from_slice(bytes);
        while let Some(part) = cut_part(&mut buffer, &mut place)? {
            parts.push(part);
        }
    }
    Ok((parts, place))
}

#[test]
fn the_parts_of_a_list_are_whole_or_not_there() {
    let long = vec![7; 300];
    let list = [field_of(1, b"meta"), field_of(2, b""), field_of(9, b"new"), field_of(2, &long)].concat();
    let sent = sent(&list);
    let found =
        [Part::Metadata(Bytes::from_static(b"meta")), Part::Object(Bytes::new()), Part::Object(long.into())];
    for piece in 1..=sent.len() {
        assert_eq!(parts(&sent, piece).unwrap(), (found[..].iter().map(copy).collect(), Place::After));
    }
    // one that breaks off is never taken for a whole one
    let end = sent.len() - 4;
    assert!((0..end).all(|end| parts(&sent[..end], 16).unwrap().1 != Place::After));
}

fn copy(part: &Part) -> Part {
    match part {
        Part::Metadata(bytes) => Part::Metadata(bytes.clone()),
        Part::Object(bytes) => Part::Object(bytes.clone()),
    }
}

#[test]
fn a_list_without_anything_in_it_is_one() {
    assert_eq!(parts(&sent(b""), 3).unwrap(), (Vec::new(), Place::After));
}

#[test]
fn what_is_no_list_is_an_error() {
    for (sent, why) in [
        (b"{\"kind\":\"PodList\"}".to_vec(), "binary"),
        ([MARK.to_vec(), vec![0x08, 1]].concat(), "wire type 0"),
        ([MARK.to_vec(), vec![0xff; 12]].concat(), "does not end"),
        (sent(&[0x0a, 9, 1]), "longer than the list"),
        (sent(&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), "longer than the list"),
    ] {
        let error = parts(&sent, 1).unwrap_err();
        assert!(error.contains(why), "{why}: {error}");
    }
}

proptest! {
    /// Bytes that begin like a list and go on like anything are read to the same end in whatever pieces they come.
    #[test]
    fn pieces_make_no_difference(list in prop::collection::vec(any::<u8>(), 0..200), outer in any::<bool>(), piece in 1..64_usize) {
        let sent = if outer { sent(&list) } else { [MARK.to_vec(), list].concat() };
        let whole = parts(&sent, sent.len());
        let cut = parts(&sent, piece);
        prop_assert_eq!(whole.is_ok(), cut.is_ok());
        if let (Ok(whole), Ok(cut)) = (whole, cut) {
            prop_assert_eq!(whole, cut);
        }
    }
}
