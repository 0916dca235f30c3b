//! How the system hands out memory.

/// Asks the system for pages of the usual size only, for this process and those it starts.
///
/// A server of many streams fills small buffers for moments. With huge pages the system clears two megabytes where some
/// kilobytes are used, which can be half of the processor time of a push, and the rest stays resident. A system without
/// the setting is left as it is.
#[cfg(target_os = "linux")]
pub fn decline_huge_pages() {
    if let Err(error) = nix::sys::prctl::set_thp_disable(true) {
        tracing::debug!("huge pages stay on: {error}");
    }
}

/// Elsewhere there is no such setting.
#[cfg(not(target_os = "linux"))]
pub fn decline_huge_pages() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn huge_pages_are_off_afterwards() {
        super::decline_huge_pages();
        assert!(nix::sys::prctl::get_thp_disable().unwrap());
    }
}
