//! Every limit on foreign input, with its reason. Sizes in bytes.

/// A signed envelope: a change for 2,000 hosts is about 500 KiB, so this leaves room for base64.
pub const ENVELOPE_BYTES: usize = 2 << 20;
/// Signatures in one envelope: quorums are below ten; more only burns verification time.
pub const ENVELOPE_SIGNATURES: usize = 16;
/// A change bundle as served through the repository (change, plan set, approvals).
pub const BUNDLE_BYTES: usize = 4 << 20;
/// What a gate is judged by: summaries of 2,000 hosts are below 2 MiB, and older agents send whole receipts.
pub const GATE_BYTES: usize = 4 << 20;
/// Ends in it: each costs whoever judges it a signature, and a host may have told two.
pub const GATE_ENDS: usize = 2 * CHANGE_TARGETS;
/// Hosts named by one change; larger roll-outs are several changes.
pub const CHANGE_TARGETS: usize = 2_000;
/// Manifests in one change.
pub const CHANGE_MANIFESTS: usize = 32;
/// Concrete intervals in one change (research: at most 64 within 90 days).
pub const CHANGE_INTERVALS: usize = 64;
/// Rules beside the intervals of one change.
pub const WINDOW_RULES: usize = 16;
/// A recurrence rule: all parts that are read, with some lists in them.
pub const RECURRENCE_BYTES: usize = 256;
/// The longest name of the time zone database has 32.
pub const ZONE_BYTES: usize = 64;
/// Windows of one rule of a calendar that are taken out.
pub const RULE_EXCEPTIONS: usize = 500;
/// One window of a rule, in seconds: a week. What takes longer is not a window but a period.
pub const WINDOW_SECONDS: u32 = 7 * 86_400;
/// What ends sooner is running out: the occurrences of a series, the times of a calendar.
pub const HORIZON_SECS: i64 = 30 * 86_400;
/// Days between creation of a change and its end.
pub const CHANGE_DAYS: i64 = 90;
/// Findings that one retroactive change accepts: their digests and hosts are about 600 KiB of an envelope, and people can
/// still look at what was different.
pub const ACCEPTED_FINDINGS: usize = 1_000;
/// Approvals in one bundle.
pub const BUNDLE_APPROVALS: usize = 64;
/// What a person carries to a host by hand: a bundle, manifests, plans and small artifacts. The agent keeps it in one file.
pub const CARRIED_BYTES: usize = 8 << 20;
/// Hosts to which one word is carried: a person walks to each of them within its few hours.
pub const CARRIED_HOSTS: usize = 32;
/// Artifacts in one carried file.
pub const CARRIED_ARTIFACTS: usize = 256;
/// Statements of one change that a host wants proofs of: the change and its approvals.
pub const PROOFS: usize = BUNDLE_APPROVALS + 1;
/// A compiled or authored manifest; templates live in it, larger content is an artifact.
pub const MANIFEST_BYTES: usize = 1 << 20;
/// Resources in one manifest.
pub const MANIFEST_RESOURCES: usize = 20_000;
/// The policy document.
pub const POLICY_BYTES: usize = 1 << 20;
/// Persons in a policy.
pub const POLICY_PERSONS: usize = 1_000;
/// Delegations in a policy: one for each of its persons.
pub const POLICY_DELEGATIONS: usize = POLICY_PERSONS;
/// Groups of persons in a policy: people must be able to read them all.
pub const POLICY_GROUPS: usize = 200;
/// Rules by which the risk of changes is shown: people must be able to read them all.
pub const POLICY_RISK_RULES: usize = 100;
/// Witnesses of the ledger in a policy: each adds a checkpoint and a proof to what hosts and bundles are shown.
pub const POLICY_WITNESSES: usize = 8;
/// Models of standard changes in a policy: people must be able to read them all.
pub const POLICY_MODELS: usize = 200;
/// What a browser says about a passkey's question: type, challenge and origins are below 1 KiB.
pub const CLIENT_DATA_BYTES: usize = 4 << 10;
/// What an authenticator says: 37 bytes and, rarely, extensions.
pub const AUTHENTICATOR_DATA_BYTES: usize = 1 << 10;
/// Actions in one plan: a full patch run touches some thousand packages.
pub const PLAN_ACTIONS: usize = 20_000;
/// Notes of one plan: packages on hold or left out; hosts with more of them are not patched but frozen.
pub const PLAN_NOTES: usize = 500;
/// One readable diff within a plan; longer ones are cut with a note.
pub const DIFF_BYTES: usize = 16 << 10;
/// Free text such as reasons and comments.
pub const TEXT_BYTES: usize = 4 << 10;

/// What names a record elsewhere, or a file: an address with its query.
pub const REFERENCE_BYTES: usize = 512;
/// An address that the server connects to; longer ones carry more than a place.
pub const URL_BYTES: usize = 2_048;
/// One note on a change: the longest is a review, with a reason for each of up to 2,000 hosts that did not succeed.
pub const CHANGE_NOTE_BYTES: usize = ENVELOPE_BYTES;
/// Notes on one change: people must be able to read them all.
pub const CHANGE_NOTES: u32 = 1_000;
/// A file beside a change: the record of a test, a picture.
pub const ATTACHMENT_BYTES: u64 = 10 << 20;

/// Whether somebody has said something, in at most [`TEXT_BYTES`].
pub fn is_text(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= TEXT_BYTES
}

/// Rules for values of parameters of one manifest in one change.
pub const PARAM_RULES: usize = 256;
/// How an author chose the hosts of a rule: a label or a name.
pub const PARAM_RULE_BYTES: usize = 300;
/// The value of one secret: passwords, keys and certificates are far below.
pub const SECRET_BYTES: usize = 64 << 10;
/// A secret as it is written down: its value in base64, and about 140 bytes for each of up to 2,000 hosts.
pub const SECRET_ARMOR_BYTES: usize = 512 << 10;
/// One artifact (packages and images included).
pub const ARTIFACT_BYTES: u64 = 2 << 30;
/// The release statement of a program: one short document with at most 16 signatures.
pub const RELEASE_BYTES: usize = 16 << 10;
/// Facts of one host (packages dominate: 4,000 packages are about 600 KiB).
pub const FACTS_BYTES: usize = 4 << 20;
/// Seconds by which two clocks may differ when a signed time is judged.
pub const CLOCK_SKEW_SECS: i64 = 300;
/// Seconds for which a signed request counts: the way through a proxy, and a transfer that begins late.
pub const REQUEST_SECS: i64 = 60;
/// Path and query of a signed request: ours have two ids of 64 digits at most.
pub const REQUEST_PATH_BYTES: usize = 512;
/// A signed request as a header: two base64 around 1.5 KiB; proxies take headers of 8 KiB as they come.
pub const REQUEST_HEADER_BYTES: usize = 4 << 10;
/// A join token lives at most this long.
pub const JOIN_TOKEN_SECS: i64 = 3_600;
/// TUF root: at most 16 keys a role, a few hundred bytes each.
pub const TUF_ROOT_BYTES: usize = 128 << 10;
/// TUF timestamp: one pin and a few signatures.
pub const TUF_TIMESTAMP_BYTES: usize = 16 << 10;
/// TUF snapshot: one pin of about 150 bytes for each team.
pub const TUF_SNAPSHOT_BYTES: usize = 256 << 10;
/// Top-level TUF targets: one delegation of about 300 bytes and its keys for each team.
pub const TUF_TARGETS_BYTES: usize = 1 << 20;
/// A delegated TUF role: about 150 bytes a file, so some 25,000 manifests of one team.
pub const TUF_DELEGATED_BYTES: usize = 4 << 20;
/// Teams with an own TUF role.
pub const TUF_TEAMS: usize = 256;
/// Keys of one TUF role, and signatures on one TUF file (old and new keys sign a new root).
pub const TUF_KEYS: usize = 32;
/// New roots followed in one refresh; progress is kept, so the next refresh goes on.
pub const TUF_ROOT_ROTATIONS: u32 = 64;
/// A proposal of governance: a root, targets, and the policy as text within JSON.
pub const PROPOSAL_BYTES: usize = 2 * (TUF_ROOT_BYTES + TUF_TARGETS_BYTES + POLICY_BYTES);
/// One record of the audit trail: ids, a time and a digest.
pub const AUDIT_BYTES: usize = 4 << 10;
/// Leaves of one ledger: its numbers are stored as signed 64-bit integers.
pub const LEDGER_LEAVES: u64 = i64::MAX as u64;
/// One ledger leaf: a digest and short ids, about 200 bytes.
pub const LEAF_BYTES: usize = 1 << 10;
/// A signed note: the specification asks for at least 16 signatures of up to 5 KB each.
pub const NOTE_BYTES: usize = 128 << 10;
/// Signatures on one note: a log key and its witnesses.
pub const NOTE_SIGNATURES: usize = 32;
/// Name of a note key or origin of a log.
pub const KEY_NAME_BYTES: usize = 255;
/// A proof file: a note, a leaf and at most 63 hashes of 45 bytes.
pub const TLOG_PROOF_BYTES: usize = NOTE_BYTES + (8 << 10);
/// The text of one package version; real ones are below 100 bytes.
pub const PACKAGE_VERSION_BYTES: usize = 512;
/// First line of what a health check says, and each further one.
pub const PLUGIN_TEXT_CHARS: usize = 1_000;
/// Further lines of one health check.
pub const PLUGIN_LONG_CHARS: usize = 4_000;
/// Performance data of one health check: real plugins have one number for each file system or interface.
pub const METRICS: usize = 64;
/// The same of all health checks of one run, so that a receipt stays far below [`ENVELOPE_BYTES`].
pub const METRICS_OF_RUN: usize = 1_000;
/// What a number of performance data is of.
pub const METRIC_LABEL_BYTES: usize = 128;
/// One number of performance data.
pub const METRIC_NUMBER_BYTES: usize = 40;
/// Events in one message about a running change.
pub const PROGRESS_EVENTS: usize = 32;
/// One text of such an event.
pub const PROGRESS_TEXT_BYTES: usize = 1_000;
/// One such message: its events with base64 and JSON around them.
pub const PROGRESS_BYTES: usize = 128 << 10;
/// Health checks that a host looks at outside of runs, of all its manifests together.
pub const HEALTH_CHECKS: usize = 256;
/// One report about them: 256 checks with the performance data of one run.
pub const HEALTH_REPORT_BYTES: usize = 2 << 20;
/// A search of the CMDB: what a person writes by hand, with a list of names pasted in.
pub const SEARCH_BYTES: usize = 4_096;
/// Terms of one search with the saved ones that it uses; each is a question to the database.
pub const SEARCH_TERMS: usize = 64;
/// Brackets in brackets, and saved searches in saved searches.
pub const SEARCH_DEPTH: usize = 8;
/// The name of a saved search.
pub const SEARCH_NAME_BYTES: usize = 60;
