//! Options of `assent webhook …`.

use crate::args::AsJson;
use clap::Subcommand;
use shared::ids::WebhookName;
use shared::news::NewsKind;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Have news of the site sent to a program, signed with a secret that it shares with the server
    #[command(
        after_help = "The secret is made here, and shown or written once. Deliveries follow the Standard Webhooks specification: at least once, in no promised order. Addresses inside of the server's network must be in outgoing.networks of its server.toml.\nExample: assent webhook add chat https://chat.example.org/hooks/assent --kind change.approved --kind change.halted --out chat.secret"
    )]
    Add {
        /// Name of the webhook: lower-case letters, digits and hyphens
        name: WebhookName,
        /// Where it listens: https://…, or http:// on the server's own machine
        url: String,
        /// What is sent, such as change.submitted, change.approved, change.halted, finding.opened or alarm.raised; may be repeated (default: everything)
        #[arg(long, value_name = "KIND")]
        kind: Vec<NewsKind>,
        /// New file for the secret, for you alone (default: it is printed)
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        json: AsJson,
    },
    /// The webhooks, and how they go
    #[command(after_help = "Example: assent webhook list")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Send a webhook an event that means nothing
    #[command(after_help = "Example: assent webhook test chat && assent webhook deliveries chat")]
    Test {
        /// Name of the webhook
        name: WebhookName,
        #[command(flatten)]
        json: AsJson,
    },
    /// What was sent to a webhook, newest first, and why something did not arrive
    #[command(after_help = "Example: assent webhook deliveries chat")]
    Deliveries {
        /// Name of the webhook
        name: WebhookName,
        /// Only those with a smaller number
        #[arg(long, value_name = "NUMBER")]
        before: Option<u64>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Send a delivery again, whatever became of it
    #[command(after_help = "Example: assent webhook redeliver chat 118")]
    Redeliver {
        /// Name of the webhook
        name: WebhookName,
        /// Number of the delivery, as `assent webhook deliveries` shows it
        number: u64,
        #[command(flatten)]
        json: AsJson,
    },
    /// End a webhook: nothing more is sent to it
    #[command(after_help = "Example: assent webhook end chat")]
    End {
        /// Name of the webhook
        name: WebhookName,
        #[command(flatten)]
        json: AsJson,
    },
}
