//! What a process gives back before it sleeps for long: memory that its allocator keeps for later, and its hold on the
//! pages of its own program, which the kernel has in its cache anyway.

use std::fs;
use std::ops::Range;

/// Sleeps that are worth it: what is given back is read again afterwards, within a few milliseconds.
pub const LONG: std::time::Duration = std::time::Duration::from_secs(5);

/// Where the code of this process lies in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idle {
    code: Option<Range<usize>>,
}

impl Idle {
    /// To be called while `/proc` is in reach; without it only memory is given back.
    pub fn of_this_process() -> Self {
        let program = fs::read_link("/proc/self/exe").ok();
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        Self { code: program.and_then(|program| code(&maps, program.to_str()?)) }
    }

    /// Costs nothing but time when it comes too early.
    #[expect(unsafe_code, reason = "malloc_trim(3) and madvise(2) have no safe wrappers")]
    pub fn give_back(&self) {
        #[cfg(target_env = "gnu")]
        // SAFETY: it takes no pointers, and only returns to the kernel what the allocator has free.
        unsafe {
            libc::malloc_trim(0);
        }
        if let Some(code) = &self.code {
            // SAFETY: the range is one private mapping of the program's file that is executable and not writable, so it
            // holds what the file holds and nothing else; pages that are dropped are read from it again.
            unsafe {
                libc::madvise(code.start as *mut libc::c_void, code.len(), libc::MADV_DONTNEED);
            }
        }
    }
}

/// The mapping of the program's code in the words of `proc_pid_maps(5)`.
fn code(maps: &str, program: &str) -> Option<Range<usize>> {
    let line = maps.lines().find(|line| line.contains(" r-xp ") && line.ends_with(&format!(" {program}")))?;
    let (start, end) = line.split_once(' ')?.0.split_once('-')?;
    let [start, end] = [start, end].map(|at| usize::from_str_radix(at, 16));
    Some(start.ok()?..end.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kilobytes of this process's code that are in memory.
    fn resident(code: &Range<usize>) -> u64 {
        let all = fs::read_to_string("/proc/self/smaps").unwrap();
        let own = all.split_once(&format!("{:x}-{:x} ", code.start, code.end)).unwrap().1;
        let line = own.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn code_that_was_given_back_is_out_of_memory_and_still_runs() {
        let idle = Idle::of_this_process();
        let code = idle.code.clone().unwrap();
        let before = resident(&code);
        idle.give_back();
        let after = resident(&code);
        // Other tests run beside this one and read theirs again at once.
        assert!(after < before, "{before} kB before, {after} kB after");
        assert_eq!(Idle::of_this_process(), idle);
    }

    #[test]
    fn only_the_program_s_own_code_is_meant() {
        let maps = "1000-2000 r--p 0 08:01 7 /a/agent\n2000-5000 r-xp 0 08:01 7 /a/agent\n5000-6000 rw-p 0 08:01 7 /a/agent\n\
                    7000-9000 r-xp 0 08:01 8 /lib/other/a/agent\n";
        assert_eq!(code(maps, "/a/agent"), Some(0x2000..0x5000));
        assert_eq!(code(maps, "/b/agent"), None);
        assert_eq!(code("", "/a/agent"), None);
    }
}
