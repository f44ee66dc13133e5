//! Shrinks a failing plan: fewer kinds of faults, fewer clients, fewer steps.

use super::{
    faults::Fault,
    plan::Plan,
    run::{Failed, run},
};

/// The smallest plan that fails, and its failure. It may be another failure, which is as good.
pub(super) fn shrink(plan: &Plan, failed: &Failed) -> (Plan, Failed) {
    // Steps after the failure do not matter.
    let mut smallest = Plan { steps: failed.steps.min(plan.steps), ..*plan };
    if !fails(&smallest) {
        // It failed at the end, in the checks that nothing is left.
        smallest = *plan;
    }
    let mut before = None;
    while before != Some(smallest) {
        before = Some(smallest);
        for fault in Fault::ALL {
            try_smaller(&mut smallest, |plan| Plan { faults: plan.faults.without(fault), ..plan });
        }
        while smallest.clients > 1 && try_smaller(&mut smallest, |plan| Plan { clients: plan.clients - 1, ..plan }) {}
        let mut part = smallest.steps / 2;
        while part > 0 {
            if !try_smaller(&mut smallest, |plan| Plan { steps: plan.steps - part.min(plan.steps), ..plan }) {
                part /= 2;
            }
        }
    }
    let failed = run(&smallest, true).result.err();
    (
        smallest,
        failed.map_or_else(
            || Failed { steps: 0, message: String::new(), told: Vec::new(), setting: String::new() },
            |failed| *failed,
        ),
    )
}

/// Takes the smaller plan if it fails, too.
fn try_smaller(smallest: &mut Plan, smaller: impl Fn(Plan) -> Plan) -> bool {
    let candidate = smaller(*smallest);
    let is_smaller = candidate != *smallest && fails(&candidate);
    if is_smaller {
        *smallest = candidate;
    }
    is_smaller
}

fn fails(plan: &Plan) -> bool {
    run(plan, false).result.is_err()
}
