use proptest::{
    strategy::{Strategy, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use crate::{op, setup};

/// How many bytes of the input one operation is drawn by. They seed a generator: handing the input itself to `proptest` does not work, since
/// drawing evenly from a range rejects zeros and tries again, and behind the end of an input there are only zeros.
const BYTES: usize = 4;
/// The reference model searches lists from end to end: longer sequences only take longer.
const MOST: usize = 120;

/// Several clients and users, strangers and peers use a relay of any configuration, time passes and sockets fail: after each step the relay
/// agrees with the reference model of its own tests.
pub fn operations(input: &[u8]) {
    let mut pieces = input.chunks(BYTES);
    let setup = value(&setup::any(), pieces.next().unwrap_or_default());
    let mut pair = setup.pair([7; 32]);
    let any_operation = op::any();
    for piece in pieces.take(MOST) {
        pair.step(value(&any_operation, piece));
    }
    pair.finish();
}

/// The value that a strategy draws by these bytes.
fn value<S: Strategy>(strategy: &S, bytes: &[u8]) -> S::Value {
    let mut seed = [0; 32];
    seed[..bytes.len()].copy_from_slice(bytes);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let config = Config { failure_persistence: None, ..Config::default() };
    let tree = strategy.new_tree(&mut TestRunner::new_with_rng(config, rng));
    tree.expect("a strategy that rejects nothing").current()
}
