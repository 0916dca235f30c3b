#[path = "../../../xtask/src/conformance/bootstrap.rs"]
mod b;
fn main() {
    let v = b::run(std::path::Path::new("/work/shared/conformance")).unwrap();
    let ok = v.iter().filter(|(_, r)| r.is_ok()).count();
    for (id, r) in &v { if let Err(e) = r { println!("{id}: {e}"); } }
    println!("{ok} of {}", v.len());
}
