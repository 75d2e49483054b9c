//! Other programs that keep files as they are to be, and what they are told for the same tree.

use crate::bytes;
use crate::overlay::Overlay;
use crate::tree::{HOSTNAME, Tree, text};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rival {
    Cfengine,
    Puppet,
    Ansible,
    Salt,
}

impl Rival {
    pub const ALL: [Self; 4] = [Self::Cfengine, Self::Puppet, Self::Ansible, Self::Salt];

    pub fn name(self) -> &'static str {
        match self {
            Self::Cfengine => "cf-agent",
            Self::Puppet => "puppet apply",
            Self::Ansible => "ansible-playbook",
            Self::Salt => "salt-call --local",
        }
    }

    /// Files above which one run takes minutes.
    pub fn most(self) -> usize {
        match self {
            Self::Cfengine | Self::Puppet => 10_000,
            Self::Salt => 1_000,
            Self::Ansible => 100,
        }
    }

    pub fn rounds(self) -> usize {
        match self {
            Self::Cfengine => 5,
            Self::Puppet | Self::Salt => 3,
            Self::Ansible => 1,
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Cfengine => "cf-agent",
            Self::Puppet => "puppet",
            Self::Ansible => "ansible-playbook",
            Self::Salt => "salt-call",
        }
    }

    /// What it says of itself; `None` when it is not installed.
    pub fn version(self) -> Option<String> {
        let said = Command::new(self.program()).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        Some(text.lines().next().unwrap_or_default().trim().to_owned())
    }

    /// Writes what it is to do beside the tree; gives the command that does it.
    pub fn prepare(self, tree: &Tree) -> Vec<PathBuf> {
        let at = |name: &str| tree.manifest().with_file_name(name);
        let sources = at("sources");
        fs::create_dir_all(&sources).unwrap();
        for number in (1..tree.files).step_by(2) {
            fs::write(sources.join(format!("{number:04}")), bytes(number)).unwrap();
        }
        let source = |number: usize| sources.join(format!("{number:04}")).display().to_string();
        match self {
            Self::Cfengine => {
                let policy = at("policy.cf");
                fs::write(&policy, cfengine(tree, source)).unwrap();
                fs::set_permissions(&policy, fs::Permissions::from_mode(0o600)).unwrap();
                vec!["cf-agent".into(), "-KI".into(), "-f".into(), policy]
            }
            Self::Puppet => {
                let manifest = at("site.pp");
                fs::write(&manifest, puppet(tree, source)).unwrap();
                let own = ["--vardir".into(), at("puppet-var"), "--confdir".into(), at("puppet-conf")];
                [vec!["puppet".into(), "apply".into()], own.into(), vec![manifest]].concat()
            }
            Self::Ansible => {
                let playbook = at("site.yml");
                fs::write(&playbook, ansible(tree, source)).unwrap();
                let local = ["-i", "localhost,", "-c", "local"].map(PathBuf::from);
                [vec!["ansible-playbook".into()], local.into(), vec![playbook]].concat()
            }
            Self::Salt => {
                let states = at("salt");
                fs::create_dir_all(&states).unwrap();
                fs::write(states.join("tree.sls"), salt(tree, source)).unwrap();
                let states_at = states.display().to_string();
                fs::write(states.join("minion"), salt_minion(&states_at)).unwrap();
                salt_call(&states_at).into_iter().map(PathBuf::from).collect()
            }
        }
    }
}

impl Rival {
    /// The same for packages and users of a machine.
    pub fn prepare_accounts(self, machine: &Overlay, packages: &[String], users: &[String]) -> Vec<String> {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
        match self {
            Self::Cfengine => {
                let policy = "/bench/policy.cf";
                machine.write(policy, &cfengine_accounts(packages, users));
                fs::set_permissions(machine.path(policy), fs::Permissions::from_mode(0o600)).unwrap();
                words("cf-agent -KI -f /bench/policy.cf")
            }
            Self::Puppet => {
                let mut manifest = String::new();
                for package in packages {
                    writeln!(manifest, "package {{ '{package}': ensure => '1.0' }}").unwrap();
                }
                for user in users {
                    writeln!(
                        manifest,
                        "user {{ '{user}': ensure => present, home => '/home/{user}', shell => '/bin/sh' }}"
                    )
                    .unwrap();
                }
                machine.write("/bench/site.pp", &manifest);
                words("puppet apply --vardir /bench/puppet-var --confdir /bench/puppet-conf /bench/site.pp")
            }
            Self::Ansible => {
                let versions: Vec<String> = packages.iter().map(|package| format!("{package}=1.0")).collect();
                let user = serde_json::json!({ "name": "{{ item }}", "home": "/home/{{ item }}", "shell": "/bin/sh",
                    "create_home": false });
                let tasks = serde_json::json!([
                    { "ansible.builtin.apt": { "name": versions, "state": "present" } },
                    { "ansible.builtin.user": user, "loop": users },
                ]);
                let play =
                    serde_json::json!([{ "hosts": "localhost", "gather_facts": false, "tasks": tasks }]);
                machine.write("/bench/site.yml", &play.to_string());
                words("ansible-playbook -i localhost, -c local /bench/site.yml")
            }
            Self::Salt => {
                machine.write("/bench/salt/tree.sls", &salt_accounts(packages, users));
                machine.write("/bench/salt/minion", &salt_minion("/bench/salt"));
                salt_call("/bench/salt")
            }
        }
    }
}

/// Debian's CFEngine comes without modules for apt; these are the commands that its own library gives it.
fn cfengine_accounts(packages: &[String], users: &[String]) -> String {
    let mut policy =
        "body common control { bundlesequence => { \"main\" }; }\nbundle agent main\n{\n  packages:\n"
            .to_owned();
    for package in packages {
        writeln!(
            policy,
            "    \"{package}\" package_policy => \"add\", package_method => debian, package_version => \"1.0\", \
             package_select => \"==\", package_architectures => {{ \"all\" }};"
        )
        .unwrap();
    }
    policy += "  users:\n";
    for user in users {
        writeln!(
            policy,
            "    \"{user}\" policy => \"present\", home_dir => \"/home/{user}\", shell => \"/bin/sh\";"
        )
        .unwrap();
    }
    policy
        + "}\nbody package_method debian\n{\n\
           package_changes => \"bulk\";\n\
           package_list_command => \"/usr/bin/dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version} ${Architecture}\\\\n'\";\n\
           package_list_update_ifelapsed => \"0\";\n\
           package_list_name_regex => \"ii  ([^ ]+) .*\";\n\
           package_list_version_regex => \"ii  [^ ]+ ([^ ]+) .*\";\n\
           package_list_arch_regex => \"ii  [^ ]+ [^ ]+ (.*)\";\n\
           package_installed_regex => \"ii .*\";\n\
           package_name_convention => \"$(name)\";\n\
           package_add_command => \"/usr/bin/env DEBIAN_FRONTEND=noninteractive /usr/bin/apt-get -qq -y install\";\n\
           package_delete_command => \"/usr/bin/apt-get -qq -y remove\";\n}\n"
}

fn cfengine(tree: &Tree, source: impl Fn(usize) -> String) -> String {
    let data = serde_json::json!({ "t": text(), "host": HOSTNAME }).to_string();
    let mut policy = format!(
        "body common control {{ bundlesequence => {{ \"main\" }}; }}\n\
         bundle agent main\n{{\n  vars: \"d\" data => parsejson('{data}');\n  files:\n"
    );
    for number in 0..tree.files {
        let path = tree.path(number);
        let how = if number.is_multiple_of(2) {
            format!(
                "create => \"true\", edit_defaults => plain, template_method => \"inline_mustache\", template_data => @(d), \
                 edit_template_string => \"{{{{{{t}}}}}}{{{{{{host}}}}}}{number:04}$(const.n)\""
            )
        } else {
            format!("copy_from => same_as(\"{}\")", source(number))
        };
        writeln!(policy, "    \"{}\" {how};", path.display()).unwrap();
    }
    policy
        + "}\nbody edit_defaults plain { edit_backup => \"false\"; }\n\
           body copy_from same_as(f) { source => \"$(f)\"; compare => \"digest\"; copy_backup => \"false\"; }\n"
}

fn puppet(tree: &Tree, source: impl Fn(usize) -> String) -> String {
    let mut manifest = format!("$t = '{}'\n$host = '{HOSTNAME}'\nFile {{ backup => false }}\n", text());
    for number in 0..tree.files {
        let path = tree.path(number);
        let how = if number.is_multiple_of(2) {
            format!("content => \"${{t}}${{host}}{number:04}\\n\"")
        } else {
            format!("source => '{}'", source(number))
        };
        writeln!(manifest, "file {{ '{}': ensure => file, {how} }}", path.display()).unwrap();
    }
    manifest
}

fn ansible(tree: &Tree, source: impl Fn(usize) -> String) -> String {
    let vars = serde_json::json!({ "t": text(), "host": HOSTNAME });
    let mut tasks = Vec::new();
    for number in 0..tree.files {
        let dest = tree.path(number).display().to_string();
        let copy = if number.is_multiple_of(2) {
            serde_json::json!({ "dest": dest, "content": format!("{{{{ t }}}}{{{{ host }}}}{number:04}\n") })
        } else {
            serde_json::json!({ "dest": dest, "src": source(number) })
        };
        tasks.push(serde_json::json!({ "ansible.builtin.copy": copy }));
    }
    serde_json::json!([{ "hosts": "localhost", "gather_facts": false, "vars": vars, "tasks": tasks }])
        .to_string()
}

/// Everything that it keeps lies beside its states.
fn salt_call(states: &str) -> Vec<String> {
    let words = format!(
        "salt-call --local --retcode-passthrough --out quiet --log-level error --log-file {states}/log --cachedir \
         {states}/cache --config-dir {states} --file-root {states} state.apply tree"
    );
    words.split(' ').map(str::to_owned).collect()
}

/// What a minion would keep elsewhere.
fn salt_minion(states: &str) -> String {
    format!("pki_dir: {states}/pki\nsock_dir: {states}/sock\npidfile: {states}/pid\n")
}

fn salt(tree: &Tree, source: impl Fn(usize) -> String) -> String {
    let mut states = serde_json::Map::new();
    for number in 0..tree.files {
        let mut how =
            vec![serde_json::json!({ "name": tree.path(number) }), serde_json::json!({ "backup": false })];
        if number.is_multiple_of(2) {
            how.push(serde_json::json!({ "contents": format!("{{{{ t }}}}{{{{ host }}}}{number:04}") }));
        } else {
            how.push(serde_json::json!({ "source": source(number) }));
        }
        states.insert(format!("file{number}"), serde_json::json!({ "file.managed": how }));
    }
    // The text ends with a line break, which JSON writes as two characters.
    let set = |name: &str, text: &str| format!("{{% set {name} = {} %}}\n", serde_json::json!(text));
    let text = serde_json::json!(text()).to_string();
    let head = set("t", text.trim_matches('"')) + &set("host", HOSTNAME);
    format!("#!jinja|json\n{head}{}\n", serde_json::Value::from(states))
}

fn salt_accounts(packages: &[String], users: &[String]) -> String {
    let packages: Vec<_> = packages.iter().map(|name| serde_json::json!({ name: "1.0" })).collect();
    let mut states = serde_json::Map::new();
    let installed = serde_json::json!([{ "pkgs": packages }, { "refresh": false }]);
    states.insert("packages".into(), serde_json::json!({ "pkg.installed": installed }));
    for user in users {
        let how = serde_json::json!([
            { "name": user }, { "home": format!("/home/{user}") }, { "shell": "/bin/sh" }, { "createhome": false }
        ]);
        states.insert(user.clone(), serde_json::json!({ "user.present": how }));
    }
    format!("#!json\n{}\n", serde_json::Value::from(states))
}
