//! The page in the tree is the one that the declarations give.

use expect_test::expect_file;

#[test]
fn the_reference_page_is_up_to_date() {
    // `cargo xtask codegen` writes it
    expect_file!["../../../../docs/reference/pilot-discovery.md"].assert_eq(&super::page());
}
