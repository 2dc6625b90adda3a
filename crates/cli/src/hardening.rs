//! Keys stay in this process: no core dump, no debugger of the same user, no swap file.

#![expect(unsafe_code, reason = "calls into the system that the standard library does not have")]

/// Switches core dumps off, lets no other process of this user look into our memory, and says how
/// keys are kept out of the swap file. What a system refuses is left as it is: none of this is a
/// promise without the system's help.
pub(crate) fn harden() {
    no_core_dumps();
    engine::lock_memory_with(lock_memory);
}

#[cfg(unix)]
fn no_core_dumps() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `none` lives through the call, which only reads it.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        const NO: libc::c_ulong = 0;
        // SAFETY: this option takes numbers only.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, NO, NO, NO, NO) };
    }
}

#[cfg(not(unix))]
fn no_core_dumps() {}

#[cfg(unix)]
fn lock_memory(address: usize, bytes: usize) {
    // SAFETY: locking a page changes nothing that can be seen of it, whatever is there; a wrong
    // address is refused. The lock is never taken back: pages with keys are few.
    unsafe { libc::mlock(address as *const libc::c_void, bytes) };
}

#[cfg(not(unix))]
fn lock_memory(_: usize, _: usize) {}
