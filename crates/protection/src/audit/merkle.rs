//! The hash tree of [RFC 6962, section 2.1](https://www.rfc-editor.org/rfc/rfc6962#section-2.1):
//! one hash stands for all records in their order, and short proofs show that a record is among
//! them or that nothing before was changed. Checking follows RFC 9162, sections 2.1.3 and 2.1.4.

use crate::keys::{from_hex, hex};
use aws_lc_rs::digest;

/// A hash as 64 hexadecimal characters.
pub fn hash_to_hex(hash: &Hash) -> String {
    hex(hash)
}

/// Reads what [`hash_to_hex`] wrote.
pub fn hash_from_hex(text: &str) -> Option<Hash> {
    from_hex(text)
}

/// SHA-256.
pub type Hash = [u8; HASH_BYTES];
/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

/// The hash of a record.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    sha256(&[&[0], leaf])
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// A tree that grows. It keeps one hash for each perfect subtree, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    roots: Vec<Hash>,
}

impl Tree {
    /// With so many leaves, from one hash for each bit that is set in `size`.
    pub fn from_roots(size: u64, roots: Vec<Hash>) -> Option<Tree> {
        (roots.len() == size.count_ones() as usize).then_some(Tree { size, roots })
    }

    /// How many leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// See [`Tree::from_roots`].
    pub fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// Adds a leaf, and calls `each` for every subtree that is complete with it, smallest first.
    pub fn push(&mut self, leaf: Hash, mut each: impl FnMut(&Hash)) {
        let mut hash = leaf;
        each(&hash);
        for _ in 0..self.size.trailing_ones() {
            let left = self.roots.pop().expect("one root for each bit");
            hash = node_hash(&left, &hash);
            each(&hash);
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// The hash over all leaves.
    pub fn root(&self) -> Hash {
        let right_first = self.roots.iter().rev().copied();
        right_first.reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(|| sha256(&[]))
    }
}

/// All hashes of complete subtrees, in the order in which [`Tree::push`] names them.
pub trait Subtrees {
    /// Why it could not be read.
    type Error;

    /// The hash at `place` in that order.
    ///
    /// # Errors
    /// If it cannot be read.
    fn hash(&self, place: u64) -> Result<Hash, Self::Error>;
}

/// So many hashes [`Tree::push`] names for the first `size` leaves.
pub fn places(size: u64) -> u64 {
    2 * size - u64::from(size.count_ones())
}

/// The place of the subtree of `2^level` leaves that is the `number`th of its kind.
fn place_of(level: u32, number: u64) -> u64 {
    // It is named with its last leaf, after the smaller subtrees that end there.
    places(((number + 1) << level) - 1) + u64::from(level)
}

/// Proof that leaf `number` (from 0) is among the first `size`.
///
/// # Errors
/// If a hash cannot be read.
pub fn inclusion_proof<S: Subtrees>(
    tree: &S,
    number: u64,
    size: u64,
) -> Result<Vec<Hash>, S::Error> {
    debug_assert!(number < size, "the leaf is in the tree");
    let (mut low, mut high) = (0, size);
    let mut proof = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if number < middle {
            proof.push(root_of(tree, middle, high)?);
            high = middle;
        } else {
            proof.push(root_of(tree, low, middle)?);
            low = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Proof that the first `old` leaves of `new` are those they were.
///
/// # Errors
/// If a hash cannot be read.
pub fn consistency_proof<S: Subtrees>(tree: &S, old: u64, new: u64) -> Result<Vec<Hash>, S::Error> {
    debug_assert!(old <= new, "a tree only grows");
    let (mut low, mut high) = (0, new);
    let mut proof = Vec::new();
    if old == 0 {
        return Ok(proof);
    }
    while old < high {
        let middle = low + split(high - low);
        if old <= middle {
            proof.push(root_of(tree, middle, high)?);
            high = middle;
        } else {
            proof.push(root_of(tree, low, middle)?);
            low = middle;
        }
    }
    if low > 0 {
        proof.push(root_of(tree, low, high)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The largest power of two below `leaves`, which are at least two.
fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

/// The hash over the leaves from `low` up to `high`, as the tree is split.
fn root_of<S: Subtrees>(tree: &S, low: u64, high: u64) -> Result<Hash, S::Error> {
    let mut roots = Vec::new();
    let mut at = low;
    while at < high {
        let level = (high - at).ilog2();
        roots.push(tree.hash(place_of(level, at >> level))?);
        at += 1 << level;
    }
    let root = roots.into_iter().rev().reduce(|right, left| node_hash(&left, &right));
    Ok(root.expect("no range is empty"))
}

/// Whether `proof` shows that `leaf` is number `number` of the `size` leaves under `root`.
pub fn is_included(leaf: &Hash, number: u64, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    if number >= size {
        return false;
    }
    let (mut first, mut last, mut hash) = (number, size - 1, *leaf);
    for step in proof {
        if last == 0 {
            return false;
        }
        if first & 1 == 1 || first == last {
            hash = node_hash(step, &hash);
            let up = if first & 1 == 1 { 0 } else { first.trailing_zeros() };
            (first, last) = (first >> up, last >> up);
        } else {
            hash = node_hash(&hash, step);
        }
        (first, last) = (first >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Whether `proof` shows that the tree of `new` leaves begins with the one of `old` leaves.
pub fn is_consistent(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size == 0 || old_size == new_size {
        return proof.is_empty() && (old_size == 0 || old_root == new_root);
    }
    if old_size > new_size {
        return false;
    }
    // A complete old tree is its own first step.
    let begins_with_old = old_size.is_power_of_two().then_some(old_root);
    let mut steps = begins_with_old.into_iter().chain(proof);
    let up = (old_size - 1).trailing_ones();
    let (mut first, mut last) = ((old_size - 1) >> up, (new_size - 1) >> up);
    let Some(start) = steps.next() else { return false };
    let (mut old_hash, mut new_hash) = (*start, *start);
    for step in steps {
        if last == 0 {
            return false;
        }
        if first & 1 == 1 || first == last {
            old_hash = node_hash(step, &old_hash);
            new_hash = node_hash(step, &new_hash);
            let up = if first & 1 == 1 { 0 } else { first.trailing_zeros() };
            (first, last) = (first >> up, last >> up);
        } else {
            new_hash = node_hash(&new_hash, step);
        }
        (first, last) = (first >> 1, last >> 1);
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    struct Memory(Vec<Hash>);

    impl Subtrees for Memory {
        type Error = Infallible;
        fn hash(&self, place: u64) -> Result<Hash, Infallible> {
            Ok(self.0[place as usize])
        }
    }

    /// RFC 6962, 2.1, word for word.
    fn root_by_the_book(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => sha256(&[]),
            [leaf] => *leaf,
            leaves => {
                let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
                node_hash(&root_by_the_book(left), &root_by_the_book(right))
            }
        }
    }

    fn grown(size: u64) -> (Vec<Hash>, Memory, Vec<Hash>) {
        let (mut tree, mut memory) = (Tree::default(), Memory(Vec::new()));
        let mut roots = vec![tree.root()];
        let leaves: Vec<Hash> = (0..size).map(|number| leaf_hash(&number.to_be_bytes())).collect();
        for leaf in &leaves {
            tree.push(*leaf, |hash| memory.0.push(*hash));
            roots.push(tree.root());
            let again = Tree::from_roots(tree.size(), tree.roots().to_vec());
            assert_eq!(again.as_ref(), Some(&tree));
        }
        (leaves, memory, roots)
    }

    #[test]
    fn the_tree_is_that_of_the_rfc() {
        // The test vectors of certificate transparency's reference implementation.
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex(&Tree::default().root()), empty);
        let mut tree = Tree::default();
        tree.push(leaf_hash(b""), |_| ());
        let one = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(hex(&tree.root()), one);
        tree.push(leaf_hash(&[0]), |_| ());
        let two = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125";
        assert_eq!(hex(&tree.root()), two);

        let (leaves, memory, roots) = grown(70);
        for size in 0..=70 {
            assert_eq!(roots[size], root_by_the_book(&leaves[..size]));
        }
        assert_eq!(memory.0.len() as u64, places(70));
    }

    #[test]
    fn proofs_show_what_is_and_nothing_else() {
        let (leaves, memory, roots) = grown(40);
        for size in 1..=40u64 {
            let root = &roots[size as usize];
            for number in 0..size {
                let proof = inclusion_proof(&memory, number, size).unwrap();
                let leaf = &leaves[number as usize];
                assert!(is_included(leaf, number, size, root, &proof), "{number} of {size}");
                assert!(!is_included(&[7; 32], number, size, root, &proof));
                for wrong in [number + 1, number.wrapping_sub(1)] {
                    assert!(!is_included(leaf, wrong, size, root, &proof), "{number} of {size}");
                }
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!is_included(leaf, number, size, root, shorter));
                }
                let longer = [proof.clone(), vec![[0; 32]]].concat();
                assert!(!is_included(leaf, number, size, root, &longer));
            }
            for old in 0..=size {
                let (before, after) = ((old, &roots[old as usize]), (size, root));
                let proof = consistency_proof(&memory, old, size).unwrap();
                assert!(is_consistent(before, after, &proof), "{old} in {size}");
                assert!(!is_consistent(before, (size, &[7; 32]), &proof) || old == 0);
                assert!(!is_consistent((old, &[7; 32]), after, &proof) || old == 0);
                let longer = [proof.clone(), vec![[0; 32]]].concat();
                assert!(!is_consistent(before, after, &longer), "{old} in {size}");
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!is_consistent(before, after, shorter), "{old} in {size}");
                }
            }
        }
        assert!(!is_consistent((3, &roots[3]), (2, &roots[2]), &[]));
    }
}
