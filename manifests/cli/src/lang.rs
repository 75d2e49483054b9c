//! Words of the main outputs in English and German; the German ones are those of the glossary.

use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Lang {
    #[default]
    En,
    De,
}

impl FromStr for Lang {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "en" => Ok(Self::En),
            "de" => Ok(Self::De),
            _ => Err("write en or de"),
        }
    }
}

impl Lang {
    /// The language of the environment: the first of LC_ALL, LC_MESSAGES and LANG that is set.
    pub fn from_env() -> Self {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        if set.is_some_and(|value| value.starts_with("de")) { Self::De } else { Self::En }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
        }
    }

    /// Headings of a table, as many in both languages.
    pub fn heads(self, word: Word) -> Vec<String> {
        self.word(word).split('|').map(str::to_owned).collect()
    }

    /// A phrase with its one gap filled.
    pub fn fill(self, word: Word, what: &str) -> String {
        self.word(word).replacen("{}", what, 1)
    }

    pub fn word(self, word: Word) -> &'static str {
        let (en, de) = word.both();
        match self {
            Self::En => en,
            Self::De => de,
        }
    }
}

macro_rules! words {
    ($($word:ident: $en:literal, $de:literal;)+) => {
        /// Labels and sentences that are shown before somebody decides.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Word { $($word),+ }

        impl Word {
            #[cfg(test)]
            const ALL: &'static [Self] = &[$(Self::$word),+];

            fn both(self) -> (&'static str, &'static str) {
                match self { $(Self::$word => ($en, $de)),+ }
            }
        }
    };
}

words! {
    Change: "Change", "Änderung";
    Revision: "revision", "Revision";
    Reason: "reason", "Grund";
    Author: "author", "Autor";
    Signed: "signed", "signiert";
    Manifests: "manifests", "Manifeste";
    PublishedBy: "published by", "veröffentlicht von";
    UndoPlan: "undo plan", "Rückfall-Lösung";
    UndoAutomatic: "automatic when a step or a health check fails", "automatisch, wenn ein Schritt oder eine Prüfung fehlschlägt";
    UndoByHand: "not automatic: a person must do it", "nicht automatisch: ein Mensch muss es tun";
    Targets: "targets", "Ziele";
    WithPlan: "with a plan", "mit Plan";
    WithoutPlan: "without", "ohne";
    Binding: "binding", "Bindung";
    BindingWithin: "within: a host may do less than approved, never more", "innerhalb: ein Host darf weniger tun als genehmigt, nie mehr";
    BindingExact: "exact: a host does exactly what was approved", "genau: ein Host tut genau das Genehmigte";
    Missed: "missed window", "versäumtes Fenster";
    MissedSkip: "only the first window counts", "nur das erste Fenster zählt";
    MissedNext: "the next window is taken", "das nächste Fenster gilt";
    MissedUntilExpiry: "at any time until the change ends", "jederzeit bis zum Ende der Änderung";
    MayUse: "allowed effects", "erlaubte Wirkungen";
    Reboot: "reboot", "Neustart";
    Quarantine: "quarantine", "Quarantäne";
    Satisfies: "satisfies", "erfüllt";
    QuarantineLifted: "LIFTED: hosts do again what failed on them and was undone", "AUFGEHOBEN: Hosts tun wieder, was bei ihnen fehlschlug und zurückgenommen wurde";
    Ends: "ends", "endet";
    Series: "series", "Serie";
    Halts: "halts", "hält an";
    HaltsAbove: "by itself, when more than {} hosts have failed", "von selbst, wenn mehr als {} Hosts fehlgeschlagen sind";
    AllBut: "all but {}", "alle außer {}";
    Corrections: "corrections", "Korrekturen";
    CorrectsUntil: "hosts may put back by themselves what this brings, until {}", "Hosts dürfen von selbst wiederherstellen, was dies bringt, bis {}";
    Upholds: "is so already, and may be put back", "ist schon so und darf wiederhergestellt werden";
    Stands: "this approval stands: hosts may put back what they were approved for, until {}", "diese Freigabe gilt weiter: Hosts dürfen wiederherstellen, was freigegeben war, bis {}";
    StandsNot: "the policy lets no approval stand for corrections of this change; hosts will only report", "die Richtlinie lässt für Korrekturen dieser Änderung keine Freigabe gelten; Hosts melden nur";
    State: "state", "Stand";
    Windows: "Windows", "Wartungsfenster";
    WindowRule: "rule: {}", "Regel: {}";
    WindowsDiffer: "the rules give other windows by now: the time zone database has changed, or this machine has another one", "die Regeln ergeben inzwischen andere Fenster: die Zeitzonendatenbank hat sich geändert, oder diese Maschine hat eine andere";
    WindowsUnsigned: "not signed: {}", "nicht signiert: {}";
    WindowsGone: "signed, but by no rule: {}", "signiert, aber nach keiner Regel: {}";
    WindowsAnew: "the signed ones count; sign new ones with `assent change new --revise {} --window-anew`", "es gelten die signierten; neue signiert `assent change new --revise {} --window-anew`";
    WindowsOfCalendar: "windows of the calendar {}:", "Wartungsfenster des Kalenders {}:";
    ClocksSkip: "{} does not exist that day", "{} gibt es an diesem Tag nicht";
    ClocksTwice: "{} comes twice that day: the first counts", "{} kommt an diesem Tag zweimal: das erste gilt";
    ClocksDuring: "the clocks change meanwhile: it lasts {}", "währenddessen wird die Uhr umgestellt: es dauert {}";
    Waves: "Waves", "Stufen";
    Local: "local", "Ortszeit";
    PlanClass: "Plan class", "Planklasse";
    Of: "of", "von";
    Host: "host", "Host";
    Hosts: "hosts", "Hosts";
    SaysServer: "according to the server", "laut Server";
    Values: "values", "Werte";
    WinsOver: "wins over", "gilt statt";
    HostClass: "host class", "Hostklasse";
    Risk: "risk", "Risiko";
    NothingToDo: "nothing to do: these hosts are as the change wants them", "nichts zu tun: diese Hosts sind schon im Soll-Zustand";
    Note: "note", "Hinweis";
    UndoYes: "can be undone", "zurücknehmbar";
    UndoPartly: "partly undoable", "teilweise zurücknehmbar";
    UndoNo: "CANNOT be undone", "NICHT zurücknehmbar";
    Attention: "look closely", "genau ansehen";
    NotCovered: "NOT covered by an approval: hosts without a plan", "NICHT von einer Genehmigung gedeckt: Hosts ohne Plan";
    NotInSet: "NOT covered: their plans came after the first approval", "NICHT gedeckt: ihre Pläne kamen nach der ersten Genehmigung";
    Widened: "you approve the plans of more hosts than those before you; they have to approve again", "Sie genehmigen die Pläne von mehr Hosts als die anderen vor Ihnen; diese müssen erneut genehmigen";
    KeptApproved: "your approval goes on for {} hosts that you have approved it for before; --instead lets them wait", "Ihre Genehmigung gilt weiter für {} Hosts, für die Sie schon genehmigt haben; --instead lässt sie warten";
    CoverLate: "until the change is approved, --all-plans covers them too; who has approved then approves again", "solange die Änderung nicht genehmigt ist, schließt --all-plans sie ein; wer schon genehmigt hat, genehmigt dann erneut";
    NoPlanYet: "no plan yet", "noch kein Plan";
    Refused: "refused", "verweigert";
    Approvals: "Approvals", "Genehmigungen";
    None: "none", "keine";
    Until: "until", "bis";
    NotCounted: "does not count", "zählt nicht";
    HealthChecks: "Health checks after the change", "Prüfungen nach der Änderung";
    Receipts: "Receipts", "Quittungen";
    Findings: "findings", "Befunde";
    AcceptsAfterwards: "Accepts afterwards what hosts found and signed (- is there, + was approved):", "Nimmt nachträglich an, was Hosts gefunden und signiert haben (- ist vorhanden, + war genehmigt):";
    RunsNowhere: "nothing: hosts never get this change", "nichts: Hosts bekommen diese Änderung nie";
    ReviewUntil: "review until", "zu prüfen bis";
    MovedSince: "looks otherwise by now or is gone, according to the server; only what is shown is accepted", "sieht laut Server inzwischen anders aus oder ist behoben; angenommen wird nur, was gezeigt wird";
    SelfAccepted: "you are the author: your own approval counts at a one-person site only, and the evidence says so", "Sie sind selbst der Autor: Ihre eigene Genehmigung zählt nur an einem Ein-Personen-Standort, und die Nachweise vermerken es";
    VerifiedFindings: "Verified on this machine: author, and every finding by its host's own key.", "Auf diesem Rechner geprüft: Autor und jeder Befund mit dem eigenen Schlüssel seines Hosts.";
    Retires: ", retires hosts", ", legt Hosts still";
    RetiresHosts: "Takes out of the register, at once when it is approved, and for good:", "Legt still, sofort mit der Genehmigung und endgültig:";
    Leaves: "leaves", "geht";
    GoesOn: "goes on", "führt fort";
    JoinedAt: "joined", "aufgenommen";
    RetireTitle: "Retire {}", "Stilllegung von {}";
    SucceedTitle: "{} goes on with a new key", "{} arbeitet mit neuem Schlüssel weiter";
    RetiredBy: "left with {}", "stillgelegt mit {}";
    VerifiedEnrolments: "Verified on this machine: author, and every host by its own signed enrolment.", "Auf diesem Rechner geprüft: Autor und jeder Host mit seiner eigenen signierten Anmeldung.";
    SixWords: "six words to compare", "sechs Wörter zum Vergleichen";
    Model: "model", "Muster";
    Counted: "What counts now", "Was derzeit zählt";
    PlanSetDigest: "plan set", "Plansatz";
    TypeToApprove: "type the change id to approve", "zum Genehmigen die Änderungsnummer eingeben";
    BreaksGlass: "you break the glass: hosts may start at any time on your word alone; every receipt says so, an alarm tells everybody, and somebody else has to review it before the change can be closed", "Sie benutzen den Notzugriff: Hosts dürfen allein auf Ihr Wort hin jederzeit beginnen; jede Quittung vermerkt es, ein Alarm meldet es allen, und jemand anderes muss es nachprüfen, bevor die Änderung geschlossen werden kann";
    CarriedByHand: "hosts that you carry this to start without the server: what it has halted or who has withdrawn since they last heard of it, they do not know", "Hosts, zu denen Sie dies bringen, beginnen ohne den Server: was er angehalten hat oder wer seither zurückgezogen hat, wissen sie nicht";
    AssessedRisk: "Risk (according to the server):", "Risiko (laut Server):";
    AskThem: "whom to ask:", "zu fragen:";
    Objections: "Objections that nobody has answered (according to the server):", "Einwände, die niemand beantwortet hat (laut Server):";
    NoNotes: "nobody has said anything", "niemand hat etwas gesagt";
    Objected: "OBJECTS", "ERHEBT EINWAND";
    ObjectedAnswered: "objected, and was answered", "erhob Einwand, der beantwortet ist";
    Answers: "answers {}", "beantwortet {}";
    LinkEnded: "has ended", "beendet";
    EndsLink: "ends link {}", "beendet die Verknüpfung {}";
    Attached: "attached", "angehängt:";
    Reviewed: "reviewed,", "Nachprüfung:";
    Deviation: "otherwise than planned", "anders als geplant";
    Lessons: "the next time", "beim nächsten Mal";
    ObjectionsOpen: "{} objections", "{} Einwände";
    ReviewDue: "review due {}", "Nachprüfung fällig {}";
    ReviewOverdue: "REVIEW OVERDUE since {}", "NACHPRÜFUNG ÜBERFÄLLIG seit {}";
    Suffices: "this suffices", "das genügt";
    DoesNotSuffice: "this does not suffice yet", "das genügt noch nicht";
    SelfApproved: "you are the author: every receipt will say self-approved", "Sie sind selbst der Autor: jede Quittung vermerkt die Selbstgenehmigung";
    WouldBeAllowed: "with your approval these hosts may change", "mit Ihrer Genehmigung dürfen sich diese Hosts ändern";
    WholeContents: "Whole contents that the plans show only in part; each has the digest that its host signed:", "Ganze Inhalte, die die Pläne nur zum Teil zeigen; jeder hat den Digest, den sein Host signiert hat:";
    WholeContentsIn: "the whole contents that the plans show only in part are in", "die ganzen Inhalte, die die Pläne nur zum Teil zeigen, stehen in";
    ApprovedUnseen: "you approve contents that nobody was shown:", "Sie genehmigen Inhalte, die niemandem gezeigt wurden:";
    HeadsOfChanges: "CHANGE|REV|STATE|PLANS|CLASSES|REPORTED|NEXT WINDOW|AUTHOR|TITLE", "ÄNDERUNG|REV|STAND|PLÄNE|KLASSEN|GEMELDET|NÄCHSTES FENSTER|AUTOR|TITEL";
    HeadsOfSeries: "SERIES|OPEN|ALL|LAST ENDS|TITLE", "SERIE|OFFEN|ALLE|LETZTE ENDET|TITEL";
    RunsOut: "runs out: make the next ones", "läuft aus: die nächsten anlegen";
    SubmittedAt: "submitted by itself {}", "wird von selbst eingereicht {}";
    HeadsOfHosts: "HOST|CI|CLASS|LAST SEEN|LABELS|AGENT", "HOST|CI|KLASSE|ZULETZT GESEHEN|MERKMALE|AGENT";
    AsItWas: "as it was {}", "wie es war, {}";
    HeadsOfDifferences: "  WHAT|{}", "  WAS|{}";
    NoDifference: "no difference; compared: {}", "kein Unterschied; verglichen: {}";
    AlikeIs: "alike: {}", "gleich: {}";
    NotOnRecord: "not on record", "nicht verzeichnet";
    NotKnown: "not known", "nicht bekannt";
    Labels: "labels", "Merkmale";
    NotInManifest: "not in the manifest", "nicht im Manifest";
    HeadsOfMismatches: "NUMBER|ENTRY|WHAT|DECLARED|OBSERVED|SINCE|IS|JUDGED", "NUMMER|EINTRAG|WAS|ANGEGEBEN|BEOBACHTET|SEIT|IST|BEURTEILT";
    HeadsOfEntries: "NAME|CI|CLASS|SYSTEM|AGENT|FACTS", "NAME|CI|KLASSE|SYSTEM|AGENT|FAKTEN";
    HeadsOfSearches: "NAME|SEARCH|SAVED BY|WHEN|ABOUT", "NAME|SUCHE|GESPEICHERT VON|WANN|WOZU";
    Found: "found: {}", "gefunden: {}";
    HeadsOfStates: "  RESOURCE|LAST STEP|CHANGE|MANIFESTS|APPROVED BY|WHEN|LEDGER", "  RESSOURCE|LETZTER SCHRITT|ÄNDERUNG|MANIFESTE|GENEHMIGT VON|WANN|PROTOKOLL";
    HeadsOfExpiry: "|EXPIRES|WHEN|LEFT", "|LÄUFT AB|WANN|REST";
    HeadsOfTokens: "NAME|FOR|ENDS|SHA256", "NAME|WOFÜR|ENDET|SHA256";
    HeadsOfExports: "EXPORT|WHEN|WHO", "EXPORT|WANN|WER";
    HeadsOfCourse: "WHEN|STEP|WHO|STATE|NOTE", "WANN|SCHRITT|WER|STAND|NOTIZ";
    Healthy: "the server and its database answer", "der Server und seine Datenbank antworten";
    HeadsOfAudit: "NUMBER|WHEN|WHO|ACTION|OBJECT", "NUMMER|WANN|WER|HANDLUNG|GEGENSTAND";
    DidChange: "changed: {}", "geändert: {}";
    WouldChange: "would change: {}; nothing was stored", "würde geändert: {}; nichts wurde gespeichert";
    Affects: "an outage reaches:", "ein Ausfall betrifft:";
    Needs: "it needs:", "es braucht:";
    Unrelated: "it is related to nothing", "es hat keine Beziehungen";
    ThereIsMore: "there is more: see --depth", "es gibt mehr: siehe --depth";
    DeclaredBy: "declared by", "angegeben von";
    This: "this", "dies";
    FeedSecret: "whoever has this address can read the schedule; end it with `assent calendar feed --end`", "wer diese Adresse hat, kann den Änderungskalender lesen; beenden mit `assent calendar feed --end`";
    FeedsEnded: "all your calendar addresses have ended", "alle eigenen Kalenderadressen sind beendet";
    KpiDefinitions: "definitions {}", "Definitionen {}";
    LeftOut: "left out: {}", "nicht gezählt: {}";
    Median: "median", "Median";
    HeadsOfWaves: "WAVE|HOSTS|PLANNED|WAITING|REFUSED|RUNNING|OK|FAILED|PENDING|GATE", "STUFE|HOSTS|GEPLANT|WARTEND|ABGELEHNT|LAUFEND|GUT|FEHLER|NEUSTART|SCHRANKE";
    GateOpen: "open", "offen";
    GateOpens: "opens {}", "öffnet {}";
    HeadsOfWaiting: "HOSTS|CHANGE|STATE|FOR|NEXT|SUCH AS", "HOSTS|ÄNDERUNG|STAND|WORAUF|NÄCHSTENS|ETWA";
    NobodyWaits: "no change is open that a host could wait for", "keine Änderung ist offen, auf die ein Host warten könnte";
    FreeFor: "free on {} hosts:", "frei auf {} Hosts:";
    FreeWithin: "within the maintenance windows of {}", "innerhalb der Wartungsfenster von {}";
    FreeShort: "the budget {} lets fewer of them change at once: a change takes several turns", "das Störungsbudget {} lässt weniger davon sich gleichzeitig ändern: eine Änderung braucht mehrere Durchgänge";
    Conflicts: "Conflicts (according to the server):", "Konflikte (laut Server):";
    ConflictClosed: "CLOSED by the blackout {}: nothing of the windows is left", "GESPERRT durch den Kalender {}: von den Wartungsfenstern bleibt nichts";
    ConflictBlackout: "the blackout {} takes a part of the windows", "der Kalender {} sperrt einen Teil der Wartungsfenster";
    ConflictOutside: "outside of the maintenance windows of {}", "außerhalb der Wartungsfenster von {}";
    ConflictWarning: "the calendar {} warns", "der Kalender {} warnt";
    ConflictSameHosts: "{} may run on the same hosts at the same time", "{} läuft vielleicht zur selben Zeit auf denselben Hosts";
    ConflictRelated: "{} may run at the same time on hosts that rely on these, or on which these rely", "{} läuft vielleicht zur selben Zeit auf Hosts, von denen diese abhängen oder die von diesen abhängen";
    ConflictBlocks: "the policy lets nobody approve the change while that stands", "laut Richtlinie genehmigt solange niemand den Change";
    ConflictSlots: "the budget {} lets fewer of these hosts change at once", "das Störungsbudget {} lässt weniger von diesen Hosts sich gleichzeitig ändern";
    HeadsOfCalendars: "CALENDAR|MODE|HOSTS|NOW OR NEXT|READ|WHY", "KALENDER|ART|HOSTS|JETZT ODER NÄCHSTE|GELESEN|WARUM";
    ReadFrom: "read from {}", "gelesen von {}";
    SubscribedSince: "subscribed {}", "abonniert {}";
    ReadAt: "read {}", "gelesen {}";
    NotReadYet: "not read yet", "noch nicht gelesen";
    ChangedAt: "changed {}", "geändert {}";
    ReadNext: "is read next {}", "wird wieder gelesen {}";
    FailingSince: "not readable since {}", "nicht lesbar seit {}";
    AwaitsConsent: "waits for a word", "wartet auf ein Wort";
    CalendarWaits: "what was read for the calendar {} waits for a word: `assent calendar show` says what, `assent calendar accept` takes it", "das für den Kalender {} Gelesene wartet auf ein Wort: `assent calendar show` zeigt es, `assent calendar accept` nimmt es an";
    CalendarIsOld: "the calendar {} could not be read for long: what it says may be old", "der Kalender {} konnte lange nicht gelesen werden: was er sagt, ist vielleicht veraltet";
    TimesOpened: "of the times that it has now it would take away, wholly or in part: {}", "von den Zeiten, die er jetzt hat, würde es ganz oder teilweise wegnehmen: {}";
    CalendarReadSoon: "it is read within a minute; see `assent calendar show {}`", "er wird innerhalb einer Minute gelesen; siehe `assent calendar show {}`";
    CalendarUnsubscribed: "{} is not read any more and stays as it is; `assent calendar end` ends it", "{} wird nicht mehr gelesen und bleibt, wie er ist; `assent calendar end` beendet ihn";
    NoCalendars: "no calendars: nothing is held but by the windows of changes", "keine Kalender: nur die Wartungsfenster der Änderungen halten etwas zurück";
    LiesOutside: "outside of maintenance windows", "außerhalb der Wartungsfenster";
    WindowsMoved: "windows by rule have moved", "Fenster nach Regel haben sich verschoben";
    EndIsNear: "runs out", "läuft aus";
    SeriesGoesOn: "the series {} runs out: run the command again that made it, or let it end", "die Serie {} läuft aus: den Befehl erneut ausführen, der sie angelegt hat, oder sie enden lassen";
    CalendarGoesOn: "the calendar {} runs out: give it further times with `assent calendar set` or `import`, or end it with `assent calendar end`", "der Kalender {} läuft aus: weitere Zeiten mit `assent calendar set` oder `import` eintragen oder ihn mit `assent calendar end` beenden";
    HeadsOfInbox: "CHANGE|WHAT|UNTIL|TITLE", "ÄNDERUNG|WAS|BIS|TITEL";
    NothingWaits: "nothing waits for you", "nichts wartet auf Sie";
    ApprovalMissing: "your approval is missing", "Ihre Genehmigung fehlt";
    ReviewMissing: "to be reviewed", "nachzubetrachten";
    ObjectionOpen: "an objection is not answered (assent change notes), since", "ein Einwand ist nicht beantwortet (assent change notes), seit";
    HostsRefuse: "hosts refuse what was approved, since", "Hosts lehnen das Genehmigte ab, seit";
    HostsRefuseWhy: "which hosts refuse and why, so that it can be set right there: assent waiting {}", "welche Hosts warum ablehnen, damit es dort behoben werden kann: assent waiting {}";
    HostsRefuseAnew: "or ask them for new plans with a new revision: assent change new --revise {}", "oder sie mit einer neuen Revision nach neuen Plänen fragen: assent change new --revise {}";
    EndedUnapproved: "ended unapproved", "beendet, nicht genehmigt";
    Urgent: "EMERGENCY", "NOTFALL";
    HeadsOfMail: "PERSON|ADDRESS|LANGUAGE|LAST ERROR", "PERSON|ADRESSE|SPRACHE|LETZTER FEHLER";
    MailSet: "reminders for {} go there by mail", "Erinnerungen für {} gehen per E-Mail dorthin";
    MailEnded: "no mail for {} any more", "keine E-Mail mehr für {}";
    HeadsOfWebhooks: "WEBHOOK|WAITING|GIVEN UP|FAILING SINCE|KINDS|ADDRESS", "WEBHOOK|WARTEND|AUFGEGEBEN|GESTÖRT SEIT|ARTEN|ADRESSE";
    HeadsOfDeliveries: "NUMBER|WHEN|KIND|ATTEMPTS|STATE|LAST ERROR", "NUMMER|WANN|ART|VERSUCHE|STAND|LETZTER FEHLER";
    NoWebhooks: "no webhooks: news are sent to nobody", "keine Webhooks: Nachrichten werden niemandem gesendet";
    WebhookEnded: "{} has ended: nothing more is sent", "{} ist beendet: nichts wird mehr gesendet";
    SentAgain: "is sent again", "wird erneut gesendet";
    Arrived: "arrived", "angekommen";
    GivenUp: "given up", "aufgegeben";
    TriedNext: "next", "nächster Versuch";
    HeadsOfBudgets: "BUDGET|TAKEN|HOSTS|WHY", "BUDGET|BELEGT|HOSTS|WARUM";
    NoBudgets: "no budgets: as many hosts may be changing at once as their waves allow", "keine Störungsbudgets: so viele Hosts dürfen sich gleichzeitig ändern, wie ihre Stufen zulassen";
    SlotsTaken: "slots taken: {}", "belegte Plätze: {}";
    AddressSecret: "whoever has this address can take slots; end it with `assent budget address {} --end`", "wer diese Adresse hat, kann Plätze belegen; beenden mit `assent budget address {} --end`";
    AddressesEnded: "all addresses of {} have ended", "alle Adressen von {} sind beendet";
    BudgetEnded: "has ended: it holds nobody back", "ist beendet: es hält niemanden zurück";
    AllAtOnce: "no waves: all hosts may go at once", "keine Stufen: alle Hosts dürfen gleichzeitig beginnen";
    OneBeforeOther: "one before the other, as the CMDB says: {}", "nacheinander, laut CMDB: {}";
    All: "all", "alle";
    CalendarHard: "hosts start nothing then: {} changes", "Hosts beginnen dann nichts: {} Änderungen";
    CalendarWarn: "people are warned, hosts are not held: {} changes", "Menschen werden gewarnt, Hosts nicht gehalten: {} Änderungen";
    CalendarWindow: "hosts are meant to be changed then, and elsewhere is a conflict: {} changes", "Hosts sollen dann geändert werden, außerhalb ist ein Konflikt: {} Änderungen";
    CalendarHosts: "only hosts with {}", "nur Hosts mit {}";
    CalendarEnded: "has ended: it holds nothing", "ist beendet: er hält nichts";
    CalendarSame: "{} says that already; nothing was stored", "{} sagt das schon; nichts wurde gespeichert";
    HeadsOfAlarms: "WHEN|ALARM|HOST|WHAT", "WANN|ALARM|HOST|WAS";
    HeadsOfFindings: "NO|HOST|WHAT DIFFERS|APPROVED STATE|CHANGE|FIRST SEEN|COUNT|STATE", "NR|HOST|ABWEICHUNG|SOLL-ZUSTAND|ÄNDERUNG|ZUERST GESEHEN|ANZAHL|STAND";
    HeadsOfRules: "NO|MANIFEST|RESOURCE|UNTIL|BY|REASON", "NR|MANIFEST|RESSOURCE|BIS|VON|GRUND";
    NoFindings: "no findings: nothing is known to differ from what was approved", "keine Befunde: von keiner Abweichung vom genehmigten Soll-Zustand ist etwas bekannt";
    ListedByServer: "according to the server; `assent finding show NO` verifies what the host signed", "laut Server; `assent finding show NR` prüft, was der Host signiert hat";
    FoundAndSigned: "What the host found and signed (- is there, + was approved):", "Was der Host gefunden und signiert hat (- ist vorhanden, + war genehmigt):";
    FindingsAre: "findings", "Befunde";
    Expected: "approved state:", "Soll-Zustand:";
    FirstSeen: "first seen", "zuerst gesehen";
    ComesAndGoes: "comes and goes", "kommt und geht";
    IsThere: "there", "vorhanden";
    IsGone: "gone", "behoben";
    HasHappened: "happened", "geschehen";
    ByOthers: "packages were changed without an approved change:", "Pakete wurden ohne genehmigte Änderung verändert:";
    AccountsChanged: "accounts were changed without an approved change, since", "Konten wurden ohne genehmigte Änderung verändert, seit";
    UnitsChanged: "units were changed without an approved change, since", "Units wurden ohne genehmigte Änderung verändert, seit";
    Restarted: "the machine was restarted without an approved change:", "Die Maschine wurde ohne genehmigte Änderung neu gestartet:";
    NotPutBack: "not put back", "nicht wiederhergestellt";
    TheServer: "the server", "der Server";
    Never: "never", "nie";
    Ago: "{} ago", "vor {}";
    In: "in {}", "in {}";
    Disabled: "disabled", "gesperrt";
    Held: "HELD", "ANGEHALTEN";
    HeldRemedy: "  it gets no new work; see `assent site alarms`, then `assent ci enable HOST` for the machine that is to go on", "  er bekommt keine neue Arbeit; siehe `assent site alarms`, danach `assent ci enable HOST` für die Maschine, die weiterarbeiten soll";
    NotItsKey: "not its key", "nicht sein Schlüssel";
    Unsigned: "according to the server; labels and last contact are signed by nobody", "laut Server; Merkmale und letzter Kontakt sind von niemandem signiert";
    Since: "since", "seit";
    Agent: "agent", "Agent";
    System: "system", "System";
    Kernel: "kernel", "Kernel";
    AgentVersion: "agent version", "Agent-Version";
    Facts: "facts", "Fakten";
    Reported: "reported", "gemeldet";
    NeverReported: "never reported", "nie gemeldet";
    Packages: "packages", "Pakete";
    ForeignPackages: "of foreign origin", "fremder Herkunft";
    NoSource: "no source", "keine Quelle";
    Services: "services", "Dienste";
    Addresses: "addresses", "Adressen";
    Support: "end of support", "Support-Ende";
    EndedAt: "ended", "abgelaufen am";
    ExtendedUntil: "extended until", "verlängert bis";
    AlsoInstalled: "also installed:", "auch installiert:";
    Hardware: "hardware", "Hardware";
    Virtualisation: "virtualisation", "Virtualisierung";
    ClockIs: "clock", "Uhr";
    Synchronised: "synchronised", "synchronisiert";
    NotSynchronised: "not synchronised", "nicht synchronisiert";
    OtherUpdaters: "other updaters", "andere Updater";
    Listening: "listening on", "lauscht auf";
    Accounts: "accounts", "Konten";
    Mounts: "mounts", "Dateisysteme";
    Certificates: "certificates", "Zertifikate";
    FirstEnds: "the first ends", "das erste endet";
    NearlyFull: "nearly full", "fast voll";
    LocalFacts: "local facts", "lokale Fakten";
    KeptBack: "kept back by the host", "vom Host zurückgehalten";
    Yes: "yes", "ja";
    No: "no", "nein";
    Unknown: "unknown", "unbekannt";
    PasswordSet: "set", "gesetzt";
    PasswordLocked: "locked", "gesperrt";
    PasswordEmpty: "EMPTY", "LEER";
    DoesInstall: "installs updates by itself", "installiert Updates von selbst";
    DoesPrepare: "downloads or announces updates", "lädt Updates oder meldet sie";
    DoesOnRequest: "installs when a user asks", "installiert auf Wunsch eines Benutzers";
    DoesObey: "does what its own server says", "tut, was sein eigener Server sagt";
    HeadOfFits: "FITS", "PASST";
    HeadsOfPackages: "PACKAGE|VERSION|ARCH|SOURCE|ORIGIN", "PAKET|VERSION|ARCH|QUELLPAKET|HERKUNFT";
    HeadsOfServices: "SERVICE|ACTIVE|ENABLED", "DIENST|AKTIV|AKTIVIERT";
    HeadsOfListening: "PORT|PROTOCOL|ADDRESS|PROGRAM|UNIT", "PORT|PROTOKOLL|ADRESSE|PROGRAMM|UNIT";
    HeadsOfUsers: "NAME|UID|LOGIN|PASSWORD|CHANGED|PRIVILEGED", "NAME|UID|ANMELDUNG|KENNWORT|GEÄNDERT|PRIVILEGIERT";
    HeadsOfMounts: "PATH|SOURCE|TYPE|SIZE|USED|OPTIONS", "PFAD|QUELLE|TYP|GRÖSSE|BELEGT|OPTIONEN";
    HeadsOfCertificates: "ENDS|WHEN|FILE|SUBJECT|ISSUER", "ENDET|WANN|DATEI|INHABER|AUSSTELLER";
    HeadsOfUpdaters: "NAME|VERSION|ENABLED|WHAT IT DOES", "NAME|VERSION|AKTIVIERT|WAS ER TUT";
    HeadsOfLocal: "NAME|VALUE", "NAME|WERT";
    StateAsRecorded: "State as the server recorded it from receipts (its word; to prove it:", "Stand, wie der Server ihn aus Quittungen verzeichnet hat (sein Wort; Nachweis:";
    Software: "Software: installed, in effect, verified (the server's word)", "Software: installiert, wirksam, geprüft (Wort des Servers)";
    HeadsOfSoftware: "  PACKAGE|INSTALLED|IN EFFECT|VERIFIED", "  PAKET|INSTALLIERT|WIRKSAM|GEPRÜFT";
    NotYet: "not yet", "noch nicht";
    Health: "Health: what each check said last (the server's word)", "Zustand: was jede Prüfung zuletzt ergab (Wort des Servers)";
    HeadsOfHealth: "  CHECK|STATE|SINCE|LAST|NUMBERS|OUTPUT", "  PRÜFUNG|ZUSTAND|SEIT|ZULETZT|ZAHLEN|AUSGABE";
    HeadsOfHealthCourse: "TIME|STATE|NUMBERS", "ZEIT|ZUSTAND|ZAHLEN";
    History: "History (the server's word)", "Verlauf (Wort des Servers)";
    And: "and", "und";
    SaidByServer: "the server's word", "Wort des Servers";
    SignedByHost: "signed by the host", "vom Host signiert";
    AnswerMayChange: "the answer may change at", "die Antwort kann sich ändern:";
    LastSeen: "last seen", "zuletzt gesehen";
    Site: "site", "Standort";
    FirstRoot: "first root", "erste Wurzel";
    InWords: "in words", "in Worten";
    People: "people", "Personen";
    Agents: "agents", "Agenten";
    ServerKey: "server key", "Server-Schlüssel";
    Policy: "policy", "Richtlinie";
    PolicyVersion: "version", "Ausgabe";
    Rules: "rules", "Regeln";
    Approval: "approval", "Genehmigung";
    OneApproves: "one person approves alone (self-approval is stamped)", "eine Person genehmigt allein (Selbstgenehmigung wird vermerkt)";
    SeveralPersons: "several persons", "mehrere Personen";
    Repository: "repository", "Repository";
    LedgerKey: "ledger key", "Protokoll-Schlüssel";
    TlsAuthorities: "TLS authorities", "TLS-Zertifizierungsstellen";
    LastBackup: "last backup", "letzte Sicherung";
    NoBackup: "NONE by the node that answers (assent-server backup)", "KEINE durch den antwortenden Knoten (assent-server backup)";
    BackupIsOld: ", OLDER THAN 8 DAYS", ", ÄLTER ALS 8 TAGE";
    ServerClaims: "the server claims", "der Server behauptet";
    Expired: "expired", "abgelaufen";
    NoAlarms: "no alarms", "keine Alarme";
    AlarmFork: "two machines use one host's key, or its state directory was restored; find the copy, stop its agent, move its state directory away and join it again with a new token; `assent ci enable HOST` then lets the other one go on. Without a second machine the directory came from a backup: join the host again in the same way, and disable its old entry", "zwei Maschinen verwenden den Schlüssel eines Hosts, oder sein Zustandsverzeichnis wurde zurückgespielt; die Kopie finden, ihren Agenten anhalten, ihr Zustandsverzeichnis wegbewegen und sie mit neuem Token aufnehmen; `assent ci enable HOST` lässt den anderen dann weiterarbeiten. Gibt es keine zweite Maschine, kam das Verzeichnis aus einer Datensicherung: den Host ebenso neu aufnehmen und seinen alten Eintrag sperren";
    AlarmEdited: "somebody changed the database; compare with a backup and look who had access to it", "jemand hat die Datenbank verändert; mit einer Datensicherung vergleichen und klären, wer Zugriff hatte";
    AlarmLoss: "a restored database had lost statements of this host; it was told to go on, the gap stays visible", "einer zurückgespielten Datenbank fehlten Erklärungen dieses Hosts; er durfte fortfahren, die Lücke bleibt sichtbar";
    AlarmGap: "the host says more than what is missing before it, and does not send that; look into its state directory and whether something on the way holds it back. If the statements are lost, join the host again with a new token", "der Host sagt mehr als das, was davor fehlt, und sendet es nicht nach; sein Zustandsverzeichnis ansehen und ob etwas auf dem Weg es zurückhält. Sind die Erklärungen verloren, den Host mit neuem Token neu aufnehmen";
    AlarmContradiction: "the host saw another ledger than this one; run `assent log verify`, and compare with a backup", "der Host hat ein anderes Protokoll gesehen als dieses; `assent log verify` ausführen und mit einer Datensicherung vergleichen";
    AlarmUnapproved: "a host reports a run that nothing approved on this server covers: its keys, or what it was shown, are in other hands, or this server lost something; look at the host and at `assent evidence` of the change, and disable the host until it is clear: assent ci disable HOST", "ein Host meldet einen Lauf, den nichts auf diesem Server Genehmigtes deckt: seine Schlüssel oder was ihm gezeigt wurde sind in anderen Händen, oder diesem Server fehlt etwas; den Host und `assent evidence` der Änderung ansehen und den Host sperren, bis es geklärt ist: assent ci disable HOST";
    AlarmGlass: "one person let a change start without the quorum and outside of its window; look at what was done and why, and close the change with what the review found: assent change close ID --outcome OUTCOME --note TEXT", "eine Person hat eine Änderung ohne das Quorum und außerhalb ihres Fensters beginnen lassen; ansehen, was warum getan wurde, und die Änderung mit dem Ergebnis der Nachprüfung schließen: assent change close NR --outcome ERGEBNIS --note TEXT";
    AlarmForged: "the host sent a statement that is not its own; look who controls that machine", "der Host hat eine fremde Erklärung gesendet; klären, wer diese Maschine kontrolliert";
    NotBegun: "not begun", "noch nicht begonnen";
    RunsAt: "runs: step {}", "läuft: Schritt {}";
    RunBegins: "begins, {} steps", "beginnt, {} Schritte";
    RunGoesOn: "goes on after the agent was started again, {} steps", "geht nach Neustart des Agenten weiter, {} Schritte";
    HealthCheck: "health check {}", "Prüfung {}";
    RunFailed: "FAILED", "FEHLGESCHLAGEN";
    Waits: "waits", "wartet";
    TakenBack: "taken back", "zurückgenommen";
    NotTakenBack: "NOT taken back", "NICHT zurückgenommen";
    EndedUnproved: "ended: {}", "beendet: {}";
    EndedProved: "{}, by its signed receipt", "{}, laut signierter Quittung";
    MessagesMissing: "{} messages are missing", "{} Meldungen fehlen";
    EventsLost: "{} events could not be told in time", "{} Ereignisse konnten nicht rechtzeitig gemeldet werden";
    AskedAgain: "asking again", "wird erneut gefragt";
    VerifiedHere: "Verified on this machine: author, manifests, and every plan by its host's own key.", "Auf diesem Rechner geprüft: Autor, Manifeste und jeder Plan mit dem eigenen Schlüssel seines Hosts.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_both_languages() {
        for word in Word::ALL {
            let (en, de) = word.both();
            assert!(!en.trim().is_empty() && !de.trim().is_empty(), "{word:?}");
            assert!(en.is_ascii(), "{word:?}");
            for sign in ["|", "{}"] {
                assert_eq!(en.matches(sign).count(), de.matches(sign).count(), "{word:?}");
            }
        }
        assert_eq!((Lang::De.word(Word::Change), Lang::En.word(Word::Change)), ("Änderung", "Change"));
    }
}
