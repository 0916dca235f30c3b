//! What the table says of amounts.

use super::*;

#[test]
fn every_type_without_messages_is_a_dash() {
    let mut of = [Amount::default(); TYPES.len()];
    of[1] = Amount { messages: 2, bytes: 1_500_000, resources: 7, removed: 1 };
    assert_eq!(amounts(&of), "- | 7 (1) in 2, 1.50 MB | - | - | -");
}
