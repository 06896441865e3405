//! How many processors of a queue run on which node (events-and-jobs §4.4).
//!
//! Each node computes its own share from the list of nodes alone: nobody coordinates, and all come to the same answer as
//! soon as they see the same list.

/// How many processors a queue asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// So many on each node.
    PerNode(usize),
    /// So many over all nodes, spread evenly.
    Constant(usize),
}

/// The nodes whose processors run, as one of them sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes {
    /// The one that looks.
    pub own: i64,
    /// All of them, in no order. Without `own`, that one has lost its standing and is to have no processor.
    pub serving: Vec<i64>,
}

impl Nodes {
    /// One node that has everything to itself.
    #[must_use]
    pub fn alone() -> Self {
        Self { own: 0, serving: vec![0] }
    }
}

impl Placement {
    /// The processors of `queue` that run on the looking node. Which nodes have one more than others is decided for each
    /// queue by itself, and a node that comes or goes moves as few as can be.
    #[must_use]
    pub fn share(self, queue: &str, nodes: &Nodes) -> usize {
        let Self::Constant(count) = self else {
            let Self::PerNode(count) = self else { return 0 };
            return count;
        };
        if !nodes.serving.contains(&nodes.own) {
            return 0;
        }
        let rank = |node: i64| (weight(queue, node), node);
        let own = rank(nodes.own);
        let place = nodes.serving.iter().filter(|node| rank(**node) < own).count();
        let (each, over) = (count / nodes.serving.len(), count % nodes.serving.len());
        each + usize::from(place < over)
    }

    /// Whether the queue asks for any processor.
    #[must_use]
    pub const fn is_none(self) -> bool {
        matches!(self, Self::PerNode(0) | Self::Constant(0))
    }
}

/// A number of this queue and node that is the same everywhere: FNV-1a, and its bits mixed.
fn weight(queue: &str, node: i64) -> u64 {
    let bytes = queue.bytes().chain(node.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(placement: Placement, queue: &str, serving: &[i64]) -> Vec<usize> {
        let of =
            |own: &i64| placement.share(queue, &Nodes { own: *own, serving: serving.to_vec() });
        serving.iter().map(of).collect()
    }

    #[test]
    fn a_constant_number_is_spread_evenly_and_adds_up_whatever_the_nodes() {
        for count in 0..20 {
            for nodes in 1..7 {
                let serving: Vec<i64> = (0..nodes).map(|n| n * 17 + 3).collect();
                let shares = shares(Placement::Constant(count), "q", &serving);
                assert_eq!(shares.iter().sum::<usize>(), count);
                let (most, least) = (shares.iter().max().unwrap(), shares.iter().min().unwrap());
                assert!(most - least <= 1, "{shares:?}");
            }
        }
        let mut three = shares(Placement::Constant(4), "q", &[7, 8, 9]);
        three.sort_unstable();
        assert_eq!(three, [1, 1, 2]);
    }

    #[test]
    fn many_queues_with_one_processor_each_do_not_crowd_on_one_node() {
        let mut on_node = [0_usize; 3];
        for queue in 0..300 {
            let shares = shares(Placement::Constant(1), &format!("queue_{queue}"), &[4, 5, 6]);
            on_node.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share);
        }
        assert!(on_node.iter().all(|count| (60..=140).contains(count)), "{on_node:?}");
    }

    #[test]
    fn a_node_that_goes_takes_along_only_what_it_had() {
        for queue in 0..50 {
            let queue = format!("queue_{queue}");
            let before = shares(Placement::Constant(1), &queue, &[1, 2, 3]);
            let after = shares(Placement::Constant(1), &queue, &[1, 2]);
            if before[2] == 0 {
                assert_eq!(before[..2], after[..], "{queue}");
            }
        }
    }

    #[test]
    fn a_node_that_is_not_listed_has_its_own_factor_and_no_share_of_a_constant() {
        let lapsed = Nodes { own: 9, serving: vec![1, 2] };
        assert_eq!(Placement::Constant(5).share("q", &lapsed), 0);
        assert_eq!(Placement::PerNode(2).share("q", &lapsed), 2);
        assert_eq!(Placement::Constant(3).share("q", &Nodes::alone()), 3);
    }
}
