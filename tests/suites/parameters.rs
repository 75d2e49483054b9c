//! Values of parameters that differ between hosts of one change: resolved by the author, signed, shown, applied.

use tests::World;
use tests::world::NewChange;

const BODY: &str = "parameters:
  port: {type: integer, default: 1, max: 65535}
  name: {type: string, default: none}
resources:
  - file: {path: /etc/app.conf, template: \"{{params.name}} {{params.port}}\\n\"}
";

fn new<'a>(more: &'a [&'a str]) -> NewChange<'a> {
    NewChange { manifests: &["app@1.0.0"], more, ..NewChange::default() }
}

fn refused(world: &World, more: &[&str], why: &str) {
    let said = world.try_draft(&new(more));
    assert!(said.code == 2 && said.err.contains(why), "{why}: {said}");
}

on_both! {
    fn each_host_takes_the_values_that_were_signed_for_it(world) {
        for name in ["a1", "a2", "a3"] {
            world.join(name, "production");
        }
        world.publish("app", "1.0.0", BODY).ok();
        world.assent(&["ci", "label", "a2", "role=web", "--reason", "test"]).ok();
        world.assent(&["ci", "label", "a3", "role=web", "--reason", "test"]).ok();
        refused(world, &["--param-for", "role=db", "app.port=2"], "fits none of the targets");
        refused(world, &["--param-for", "role=web", "app.port=no"], "must be a whole number");
        refused(world, &["--param-for", "role=web", "app.port=70000"], "out of range");
        refused(world, &["--param-for", "role=web", "app.prot=2"], "has no parameter prot");
        let more = [
            "--param", "app.name=all",
            "--param-for", "role=web", "app.port=80",
            "--param-for", "role=web", "app.name=web",
            "--param-for", "a3", "app.port=8080",
        ];
        let id = world.request(&new(&more));
        let shown = world.assent(&["change", "show", &id]).ok().out;
        for line in [
            "port = 80  (role=web: ",
            "a3: port: a3 wins over role=web",
            "app: a1: name = \"all\"",
            "app: a2: name = \"web\", port = 80",
            "app: a3: name = \"web\", port = 8080",
        ] {
            assert!(shown.contains(line), "{line}: {shown}");
        }
        // A label that is given away afterwards changes nothing: the hosts are signed.
        world.assent(&["ci", "label", "a1", "role=web", "--reason", "test"]).ok();
        world.approve(&id).ok();
        for (name, text) in [("a1", "all 1\n"), ("a2", "web 80\n"), ("a3", "web 8080\n")] {
            let receipt = world.tick_until_receipt(name, &id);
            assert_eq!(receipt.body.outcome.as_str(), "applied", "{:?}", receipt.body);
            assert_eq!(world.hosts[name].read("/etc/app.conf").as_deref(), Some(text), "{name}");
        }
    }
}
