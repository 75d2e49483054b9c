//! What the network process may still do once it has begun: read what name resolution needs, and use sockets.
//!
//! An own account, no new privileges, Landlock for files (landlock(7)), seccomp for system calls (seccomp(2)). Each
//! layer that the kernel does not offer is told and the others are taken all the same.

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, path_beneath_rules,
};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, User, setgroups, setresgid, setresuid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;
use std::fmt;

/// The account of the network process; packages make it.
const ACCOUNT: &str = "assent-courier";
/// Where there is none: the account of those who own nothing.
const NOBODY: u32 = 65_534;
/// What name resolution reads (nsswitch.conf(5)).
const READABLE: [&str; 6] = ["/etc", "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/run/systemd/resolve"];

/// A layer that could not be put on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    layer: &'static str,
    why: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "goes on without {}: {}", self.layer, self.why)
    }
}

/// Puts on one layer, or says why not.
type PutOn = fn() -> Result<(), String>;

/// Gives up everything that carrying requests does not need. There is no way back.
pub fn enter() -> Vec<Missing> {
    let layers: [(&'static str, PutOn); 5] = [
        ("limits of resources", limits),
        ("new privileges barred", no_new_privileges),
        ("Landlock", files),
        ("an account of its own", account),
        ("seccomp", calls),
    ];
    let missing =
        layers.into_iter().filter_map(|(layer, put_on)| put_on().err().map(|why| Missing { layer, why }));
    missing.collect()
}

/// No core file, which would hold the key of the certificate, and few open files.
fn limits() -> Result<(), String> {
    for (what, most) in
        [(Resource::RLIMIT_CORE, 0), (Resource::RLIMIT_FSIZE, 0), (Resource::RLIMIT_NOFILE, 64)]
    {
        setrlimit(what, most, most).map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn no_new_privileges() -> Result<(), String> {
    nix::sys::prctl::set_no_new_privs().map_err(|e| e.to_string())?;
    // Others of the same account must not look into it either.
    nix::sys::prctl::set_dumpable(false).map_err(|e| e.to_string())
}

fn files() -> Result<(), String> {
    let enter = || {
        let readable = READABLE.into_iter().filter(|path| std::path::Path::new(path).exists());
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(ABI::V5))?
            .create()?
            .add_rules(path_beneath_rules(readable, AccessFs::from_read(ABI::V5) & !AccessFs::Execute))?
            .restrict_self()
    };
    match enter().map_err(|e: landlock::RulesetError| e.to_string())?.ruleset {
        RulesetStatus::NotEnforced => Err("the kernel has none".into()),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}

/// Only root can become somebody else; an agent of somebody else has no more rights than that anyway.
fn account() -> Result<(), String> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let known = User::from_name(ACCOUNT).ok().flatten();
    let (uid, gid) =
        known.map_or((Uid::from_raw(NOBODY), Gid::from_raw(NOBODY)), |user| (user.uid, user.gid));
    let become_it = || {
        setgroups(&[])?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)
    };
    become_it().map_err(|e: nix::Error| e.to_string())
}

/// What carrying requests and resolving names needs; everything else is answered with EPERM.
const ALLOWED: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_lseek,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_ioctl,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_socketpair,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_openat,
    libc::SYS_faccessat,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_prlimit64,
    libc::SYS_prctl,
    libc::SYS_tgkill,
    libc::SYS_set_tid_address,
    libc::SYS_membarrier,
];

/// Old names of the same calls, which only some machines have.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[i64] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_create,
    libc::SYS_dup2,
    libc::SYS_time,
    libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[i64] = &[];

fn calls() -> Result<(), String> {
    let equals = |argument, value: u64| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
    };
    let filters = || -> Result<[BpfProgram; 2], seccompiler::Error> {
        let arch = std::env::consts::ARCH.try_into()?;
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
            ALLOWED.iter().chain(ALLOWED_HERE).map(|call| (*call, Vec::new())).collect();
        // The network, name services, and the kernel's list of addresses.
        let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
        let family = |family: i32| SeccompRule::new(vec![equals(0, u64::from(family.unsigned_abs()))?]);
        rules.insert(libc::SYS_socket, families.into_iter().map(family).collect::<Result<_, _>>()?);
        // Threads, but no processes.
        let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
        let is_thread =
            SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(thread), thread)?;
        rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![is_thread])?]);
        // Its flags are behind a pointer: the C library falls back to clone when it does not exist.
        let absent = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
        let (enosys, eperm) = (libc::ENOSYS.unsigned_abs(), libc::EPERM.unsigned_abs());
        rules.insert(libc::SYS_clone3, Vec::new());
        let main = SeccompFilter::new(rules, SeccompAction::Errno(eperm), SeccompAction::Allow, arch)?;
        let older = SeccompFilter::new(absent, SeccompAction::Allow, SeccompAction::Errno(enosys), arch)?;
        Ok([older.try_into()?, main.try_into()?])
    };
    for filter in filters().map_err(|e| e.to_string())? {
        seccompiler::apply_filter(&filter).map_err(|e| e.to_string())?;
    }
    Ok(())
}
