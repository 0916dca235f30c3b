//! Reading resolver configurations.

use super::*;

#[test]
fn servers_and_the_last_search_line_are_read() {
    let text = "# x\nnameserver 10.0.0.10\nnameserver fd00::1 ; y\nnameserver bad\nsearch a b\nsearch ns.svc.cluster.local svc.cluster.local\noptions ndots:5\n";
    let read = ResolvConf::parse(text);
    assert_eq!(
        read.servers,
        ["10.0.0.10:53".parse().unwrap(), "[fd00::1]:53".parse::<SocketAddr>().unwrap()]
    );
    assert_eq!(read.search, ["ns.svc.cluster.local", "svc.cluster.local"]);
}
