//! Seeded mutations of a corpus: what a fuzzer does in its first seconds, the same on every machine.

use std::fs;
use std::path::Path;

/// Runs `entry` on every file of the folder and on `rounds` mutations of them; how many inputs that were.
pub(crate) fn run(corpus: &Path, rounds: u64, entry: fn(&[u8])) -> u64 {
    let mut seeds: Vec<_> =
        fs::read_dir(corpus).into_iter().flatten().flatten().map(|file| file.path()).collect();
    seeds.sort();
    let seeds: Vec<Vec<u8>> = seeds.iter().filter_map(|path| fs::read(path).ok()).collect();
    assert!(!seeds.is_empty(), "{} has no seeds", corpus.display());
    seeds.iter().for_each(|seed| entry(seed));
    let mut chance = Chance(1);
    for _ in 0..rounds {
        let mut input = chance.pick(&seeds).clone();
        for _ in 0..=chance.below(4) {
            mutate(&mut input, &seeds, &mut chance);
        }
        entry(&input);
    }
    rounds + seeds.len() as u64
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end.max(1) as u64).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], chance: &mut Chance) {
    const LIKED: &[u8] = b"\0\x01\x7f\x80\xff\n\t :-*&!|>{}[]\"'#%@,9";
    let at = chance.below(input.len() + 1);
    let end = (at + 1 + chance.below(32)).min(input.len());
    match chance.below(7) {
        0 if at < input.len() => input[at] ^= 1 << chance.below(8),
        1 if at < input.len() => input[at] = *chance.pick(LIKED),
        2 => input.insert(at, *chance.pick(LIKED)),
        3 => drop(input.drain(at.min(end)..end)),
        4 => input.truncate(at),
        // a piece again, or a piece of another seed
        5 => {
            let piece = input[at.min(end)..end].to_vec();
            let to = chance.below(input.len() + 1);
            input.splice(to..to, piece);
        }
        _ => {
            let other = chance.pick(seeds);
            let from = chance.below(other.len() + 1);
            let piece = other[from..(from + chance.below(64)).min(other.len())].to_vec();
            input.splice(at..at, piece);
        }
    }
}
