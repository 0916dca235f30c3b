//! Where things go.

use std::path::Path;

use super::Paths;

#[test]
fn the_socket_is_in_the_runtime_directory_and_differs_between_state_homes() {
    let one = Paths::new(Path::new("/home/a/.local/state"), Some(Path::new("/run/user/7")));
    let two = Paths::new(Path::new("/tmp/other"), Some(Path::new("/run/user/7")));
    assert!(one.control.starts_with("/run/user/7/meltemi"));
    assert_ne!(one.control, two.control);
}

#[test]
fn a_socket_path_too_long_for_the_kernel_moves_to_tmp() {
    let long = format!("/{}", "x".repeat(120));
    for paths in [Paths::new(Path::new(&long), None), Paths::new(Path::new("/s"), Some(Path::new(&long)))] {
        assert!(paths.control.starts_with("/tmp"), "{paths:?}");
        assert!(paths.control.as_os_str().len() <= 107);
    }
}
