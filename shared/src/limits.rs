//! Every limit on foreign input, with its reason. Sizes in bytes.

/// A signed envelope: a change for 2,000 hosts is about 500 KiB, so this leaves room for base64.
pub const ENVELOPE_BYTES: usize = 2 << 20;
/// Signatures in one envelope: quorums are below ten; more only burns verification time.
pub const ENVELOPE_SIGNATURES: usize = 16;
/// A change bundle as served through the repository (change, plan set, approvals).
pub const BUNDLE_BYTES: usize = 4 << 20;
/// Hosts named by one change; larger roll-outs are several changes.
pub const CHANGE_TARGETS: usize = 2_000;
/// Manifests in one change.
pub const CHANGE_MANIFESTS: usize = 32;
/// Concrete intervals in one change (research: at most 64 within 90 days).
pub const CHANGE_INTERVALS: usize = 64;
/// Days between creation of a change and its end.
pub const CHANGE_DAYS: i64 = 90;
/// Approvals in one bundle.
pub const BUNDLE_APPROVALS: usize = 64;
/// A compiled or authored manifest; templates live in it, larger content is an artifact.
pub const MANIFEST_BYTES: usize = 1 << 20;
/// Resources in one manifest.
pub const MANIFEST_RESOURCES: usize = 20_000;
/// The policy document.
pub const POLICY_BYTES: usize = 1 << 20;
/// Persons in a policy.
pub const POLICY_PERSONS: usize = 1_000;
/// Actions in one plan: a full patch run touches some thousand packages.
pub const PLAN_ACTIONS: usize = 20_000;
/// One readable diff within a plan; longer ones are cut with a note.
pub const DIFF_BYTES: usize = 16 << 10;
/// Free text such as reasons and comments.
pub const TEXT_BYTES: usize = 4 << 10;
/// One artifact (packages and images included).
pub const ARTIFACT_BYTES: u64 = 2 << 30;
/// Facts of one host (packages dominate: 4,000 packages are about 600 KiB).
pub const FACTS_BYTES: usize = 4 << 20;
/// Seconds by which two clocks may differ when a signed time is judged.
pub const CLOCK_SKEW_SECS: i64 = 300;
/// A join token lives at most this long.
pub const JOIN_TOKEN_SECS: i64 = 3_600;
