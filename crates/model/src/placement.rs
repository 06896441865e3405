//! How many processors of a queue run on which node (events-and-jobs §4.4).
//!
//! Each node computes its own share from the list of nodes alone: nobody coordinates, and all come to the same answer as
//! soon as they see the same list.

use std::sync::{Arc, LazyLock};

/// Whoever is alone.
static ALONE: LazyLock<Arc<[i64]>> = LazyLock::new(|| Arc::from([0]));

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
    /// All of them, in no order. Without `own`, that one has lost its standing and is to have no processor. Shared, because
    /// processors ask at every event.
    pub serving: Arc<[i64]>,
}

impl Nodes {
    /// One node that has everything to itself.
    #[must_use]
    pub fn alone() -> Self {
        Self { own: 0, serving: Arc::clone(&ALONE) }
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
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn shares(placement: Placement, queue: &str, serving: &[i64]) -> Vec<usize> {
        let of = |own: &i64| placement.share(queue, &Nodes { own: *own, serving: serving.into() });
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

    /// A queue, how many processors it asks for, the nodes at first, and who comes and goes then, one at a time.
    fn lives() -> impl Strategy<Value = (String, usize, BTreeSet<i64>, Vec<i64>)> {
        // Tokens come from one sequence, so most are near each other.
        let node = prop_oneof![1..30_i64, any::<i64>()];
        (
            "[a-z_.]{0,20}",
            0..40_usize,
            prop::collection::btree_set(node.clone(), 1..12),
            prop::collection::vec(node, 0..20),
        )
    }

    proptest! {
        #[test]
        fn a_constant_number_is_kept_exactly_while_nodes_come_and_go_and_nobody_gives_up_more_than_he_must(
            (queue, count, mut serving, moves) in lives()
        ) {
            let placement = Placement::Constant(count);
            let of = |serving: &BTreeSet<i64>| -> Vec<(i64, usize)> {
                let list: Vec<i64> = serving.iter().copied().collect();
                list.iter().copied().zip(shares(placement, &queue, &list)).collect()
            };
            let mut before = of(&serving);
            for node in moves {
                let comes = serving.insert(node);
                if !comes && serving.len() > 1 {
                    serving.remove(&node);
                }
                let now = of(&serving);
                prop_assert_eq!(now.iter().map(|(_, share)| share).sum::<usize>(), count);
                let (each, over) = (count / now.len(), count % now.len());
                prop_assert!(now.iter().all(|(_, share)| [each, each + usize::from(over > 0)].contains(share)));
                // Of those that stay, none gets more when one comes, and none gets less when one goes.
                for (stays, share) in &now {
                    let Some((_, had)) = before.iter().find(|(other, _)| other == stays) else { continue };
                    prop_assert!(if comes { share <= had } else { share >= had }, "{stays}: {had}, then {share}");
                }
                // In whichever order a node has read the list.
                let backwards: Vec<i64> = serving.iter().rev().copied().collect();
                let mut again = shares(placement, &queue, &backwards);
                again.reverse();
                prop_assert_eq!(again, now.iter().map(|(_, share)| *share).collect::<Vec<_>>());
                before = now;
            }
        }
    }

    #[test]
    fn a_node_that_is_not_listed_has_its_own_factor_and_no_share_of_a_constant() {
        let lapsed = Nodes { own: 9, serving: [1, 2].into() };
        assert_eq!(Placement::Constant(5).share("q", &lapsed), 0);
        assert_eq!(Placement::PerNode(2).share("q", &lapsed), 2);
        assert_eq!(Placement::Constant(3).share("q", &Nodes::alone()), 3);
    }
}
