//! Pins the current thread to a core.

/// Pins the current thread to the `worker`-th core that the process may use, going round where there
/// are more workers. `Err` says why it is not pinned; the job goes on.
pub(crate) fn pin(worker: usize) -> Result<(), String> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if cores.is_empty() {
        return Err(format!("worker {worker} is not pinned: the cores of this machine cannot be listed"));
    }
    let core = cores[worker % cores.len()];
    if core_affinity::set_for_current(core) {
        Ok(())
    } else {
        Err(format!("worker {worker} is not pinned: core {} refused it", core.id))
    }
}
