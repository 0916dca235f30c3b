//! What the table says of numbers.

use super::*;

#[test]
fn a_ratio_above_one_is_in_our_favour() {
    assert_eq!((ratio(2.0, 9.0), ratio(10.0, 5.0)), ("4.50x".to_owned(), "0.500x".to_owned()));
    assert_eq!(ratio(0.0, 5.0), "-");
}

#[test]
fn every_type_without_messages_is_a_dash() {
    let mut of = [Amount::default(); TYPES.len()];
    of[1] = Amount { messages: 2, bytes: 1_500_000, resources: 7, removed: 1 };
    assert_eq!(amounts(&of), "- | 7 (1) in 2, 1.50 MB | - | - | -");
}
