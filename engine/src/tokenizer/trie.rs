//! A prefix tree over byte strings, laid out breadth first: the children of a node lie beside each
//! other, ordered by their byte.

/// Maps byte strings to numbers and walks them byte by byte.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    /// For each node, where its children begin; one more at the end.
    children: Vec<u32>,
    /// The byte that leads to each node; the root's is not used.
    labels: Vec<u8>,
    /// The value of each node, or [`NONE`].
    values: Vec<u32>,
}

const NONE: u32 = u32::MAX;

/// A place in a [`Trie`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Node(u32);

impl Trie {
    /// Builds the tree. Of equal keys the last one counts; the empty key is left out.
    pub fn new<'a>(entries: impl IntoIterator<Item = (&'a [u8], u32)>) -> Trie {
        let mut entries: Vec<(&[u8], u32)> = entries
            .into_iter()
            .filter(|(key, _)| !key.is_empty())
            .collect();
        entries.sort_by(|a, b| a.0.cmp(b.0));
        let mut trie = Trie {
            children: Vec::new(),
            labels: vec![0],
            values: vec![NONE],
        };
        // Each node in turn: the range of entries below it, and its depth.
        let mut nodes = std::collections::VecDeque::from([(0, entries.len(), 0)]);
        while let Some((mut start, end, depth)) = nodes.pop_front() {
            let node = trie.children.len();
            while start < end && entries[start].0.len() == depth {
                trie.values[node] = entries[start].1;
                start += 1;
            }
            trie.children.push(trie.labels.len() as u32);
            while start < end {
                let label = entries[start].0[depth];
                let same = entries[start..end].partition_point(|(key, _)| key[depth] == label);
                trie.labels.push(label);
                trie.values.push(NONE);
                nodes.push_back((start, start + same, depth + 1));
                start += same;
            }
        }
        trie.children.push(trie.labels.len() as u32);
        trie
    }

    /// Where every walk starts.
    pub const ROOT: Node = Node(0);

    /// The node one byte further, if there is one.
    pub fn step(&self, node: Node, byte: u8) -> Option<Node> {
        let at = node.0 as usize;
        let (start, end) = (self.children[at] as usize, self.children[at + 1] as usize);
        let found = self.labels[start..end].binary_search(&byte).ok()?;
        Some(Node((start + found) as u32))
    }

    /// The value of the key that ends at `node`.
    pub fn value(&self, node: Node) -> Option<u32> {
        Some(self.values[node.0 as usize]).filter(|&value| value != NONE)
    }

    /// The longest key that `text` starts with: its value and length in bytes.
    pub fn longest(&self, text: &[u8]) -> Option<(u32, usize)> {
        let mut node = Trie::ROOT;
        let mut best = None;
        for (at, &byte) in text.iter().enumerate() {
            match self.step(node, byte) {
                Some(next) => node = next,
                None => break,
            }
            if let Some(value) = self.value(node) {
                best = Some((value, at + 1));
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_longest_key() {
        let keys = ["b", "ab", "abc", "", "abcde", "ab"];
        let trie = Trie::new(
            keys.iter()
                .enumerate()
                .map(|(i, key)| (key.as_bytes(), i as u32)),
        );
        assert_eq!(trie.longest(b"abcd"), Some((2, 3)));
        assert_eq!(trie.longest(b"abx"), Some((5, 2)));
        assert_eq!(trie.longest(b"a"), None);
        assert_eq!(trie.longest(b"bb"), Some((0, 1)));
        assert_eq!(trie.longest(b""), None);
        assert_eq!(Trie::new([]).longest(b"x"), None);
    }
}
