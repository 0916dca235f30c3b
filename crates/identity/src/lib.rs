//! identity - who somebody is and how they prove it: names, keys, certificates, tokens, and the signing core of the CA.
//! In: PEM, DER and JWT text of strangers, keys of ours, `now`. Out: verified identities, signed certificates and tokens.
//! Here: pure functions; the only randomness is inside key generation, serial numbers and signatures, where it belongs.
//! Never here: files, environment, the clock (`now` is an argument), sockets, waiting.
//! Start reading at: authority.rs

mod der;

pub mod access;
pub mod authority;
pub mod bundle;
pub mod cert;
pub mod crl;
pub mod csr;
pub mod key;
pub mod spiffe;
pub mod token;

pub use authority::Authority;
pub use bundle::Bundle;
pub use cert::Certificate;
pub use key::PrivateKey;
pub use spiffe::Id;
