//! Whether the kernel counts its clock as synchronised (adjtimex(2)).

use std::mem::MaybeUninit;

/// The largest error at which timedatectl(1) calls a clock synchronised, in microseconds.
const MOST_ERROR_US: i64 = 16_000_000;

/// `None` where the call is forbidden, as in many containers.
pub fn is_synchronised() -> Option<bool> {
    most_error_us().map(|error| error < MOST_ERROR_US)
}

#[expect(
    unsafe_code,
    reason = "adjtimex(2) has no safe wrapper, and timedatectl would be a process and a daemon more"
)]
fn most_error_us() -> Option<i64> {
    let mut asked = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: zero is a valid value of each of its numbers; modes = 0 changes nothing; the pointer is to room for
    // one `timex`, and it lives longer than the call.
    let answer = unsafe {
        let state = libc::adjtimex(asked.as_mut_ptr());
        (state >= 0).then(|| asked.assume_init())
    };
    #[expect(clippy::useless_conversion, reason = "it is 32 bits wide on some machines")]
    answer.map(|timex| i64::from(timex.maxerror))
}
