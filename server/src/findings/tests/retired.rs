//! What becomes of findings and mismatches when hosts leave and machines go on with another key.

use super::*;
use crate::changes::tests::world::Host;
use crate::findings::mismatch;

async fn mismatches(world: &World) -> Vec<(String, String)> {
    mismatch::look(&world.node.db, world.now()).await.unwrap();
    let page = world.good("GET", "/v1/mismatches?current=true", ()).await;
    let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    page["mismatches"].as_array().unwrap().iter().map(|line| (text(line, "ci"), text(line, "kind"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_of_a_host_that_left_are_gone_and_nobody_is_its_double_any_more() {
    for (mut world, of) in each().await {
        world.join_as(Host::named(7, "web1"), "production").await;
        world.find(0, &of, |_| {}).await;
        let new = world.hosts.len() - 1;
        world.find(new, &of, |_| {}).await;
        let doubles = mismatches(&world).await;
        let named = |ci: &str| doubles.contains(&(ci.to_owned(), "same_name".to_owned()));
        let entry = world.entry_of(world.hosts[new].agent()).await;
        assert!(named("CI-1") && named(&entry), "{}: {doubles:?}", world.engine);
        let change = world.retiring(&[(0, Some(new))]).await;
        world.approve(&change, "peer").await;
        assert_eq!(mismatches(&world).await, [], "{}", world.engine);
        // The news is handed over twice, as after a crash between two writes.
        let (key, now) = (change.id.to_string(), world.now());
        world.write(move |tx| store::left(tx, &key, now)).await.unwrap();
        crate::findings::hear(&world.node.db, world.now()).await.unwrap();
        let page = world.good("GET", "/v1/findings?host=web1", ()).await;
        let told = |line: &Value| (line["ci"].clone(), line["agent"].clone(), line["presence"].clone());
        let all: Vec<_> = page["findings"].as_array().unwrap().iter().map(told).collect();
        let (old, new) = (json!(world.hosts[0].agent()), json!(world.hosts[new].agent()));
        assert_eq!(
            all,
            [(json!("CI-1"), new, json!("there")), (json!("CI-1"), old, json!("gone"))],
            "{}",
            world.engine
        );
        assert_eq!(world.good("GET", "/v1/cis?q=finding:open", ()).await[0]["ci"], "CI-1");
    }
}
