//! Ports that are held by this very test.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::time::{Duration, Instant};

use super::{holders, is_free, listening, listening_in_group};

/// Looks until there is something. A process that another test has just started has this one's sockets until it becomes
/// its program.
#[track_caller]
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_held_port_is_not_free_and_its_holder_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("not IPv4") };
    assert!(!is_free(address.into()));
    let me = format!("(pid {})", std::process::id());
    assert!(holders(address).iter().any(|holder| holder.ends_with(&me)), "{:?}", holders(address));
    drop(listener);
    eventually("it is free", || is_free(address.into()).then_some(()));
}

#[test]
fn a_wildcard_listener_clashes_with_every_address_and_another_address_does_not() {
    let wildcard = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = wildcard.local_addr().unwrap().port();
    let mine = Ipv4Addr::new(127, 77, 0, 1);
    assert!(!is_free((mine, port).into()));
    assert!(!holders(SocketAddrV4::new(mine, port)).is_empty());
    drop(wildcard);
    let elsewhere = eventually("it is free elsewhere", || TcpListener::bind(("127.0.0.1", port)).ok());
    eventually("it is free", || is_free((mine, port).into()).then_some(()));
    eventually("nobody holds it", || holders(SocketAddrV4::new(mine, port)).is_empty().then_some(()));
    drop(elsewhere);
}

#[test]
fn tables_of_the_kernel_are_read() {
    let line = "   0: 0100007F:2375 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 4242 1 0 100 0 0 10 0";
    let table = format!("header\n{line}\n{}", line.replace(" 0A ", " 01 "));
    let found = listening(&table);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].port, found[0].uid, found[0].inode), (0x2375, 1001, 4242));
    #[cfg(target_endian = "little")]
    assert_eq!(found[0].address, Some(Ipv4Addr::LOCALHOST));
}

#[test]
fn the_ports_of_a_process_group_are_found() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let group = u32::try_from(nix::unistd::getpgrp().as_raw()).unwrap();
    assert!(listening_in_group(group).contains(&port));
    assert!(listening_in_group(u32::MAX).is_empty());
}
