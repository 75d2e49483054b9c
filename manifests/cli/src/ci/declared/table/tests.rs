use super::*;
use clap::Parser as _;

#[derive(clap::Parser)]
struct Given {
    #[command(flatten)]
    table: TableArgs,
}

/// What a sample says, read with these options.
fn sample(text: &str, options: &[&str]) -> Result<Vec<Item>, String> {
    let given = Given::parse_from(["x"].iter().chain(options));
    let reading = Reading::of(&given.table).map_err(|e| e.to_string())?;
    read(text, &reading).map_err(|e| e.to_string())
}

fn told(text: &str, map: &[&str], class: Option<&str>) -> Result<Vec<Item>, String> {
    let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let args = TableArgs { map: owned(map), class: class.map(str::to_owned), ..TableArgs::default() };
    let reading = Reading::of(&args).map_err(|e| e.to_string())?;
    read(text, &reading).map_err(|e| e.to_string())
}

#[test]
fn what_is_written_is_read_again() {
    let text = "class,name,owner,criticality,scopes,availability,labels,depends_on,runs_on\n\
                service,Online shop,shop,High,pci nis2,Very high,team=red,software:db data:orders,\n\
                software,db,,,,,,,host:web1\n\
                service,portal,,,,,,service:Online shop|,\n";
    let items = told(text, &[], None).unwrap();
    assert_eq!(items.len(), 3);
    assert_eq!(items[0].relations.as_ref().unwrap().len(), 2);
    assert_eq!(items[2].relations.as_ref().unwrap().first().unwrap().to.name, "Online shop");
    let again = told(&write(&items).unwrap(), &[], None).unwrap();
    assert_eq!(again, items);
}

#[test]
fn tables_of_other_programs_are_read_by_naming_their_columns() {
    let netbox = "\u{feff}Name;Status;Tenant;Site\nsw-1;Active;it;Berlin\n\n;;;\n";
    let map = ["Name=name", "Tenant=owner", "Site=environment", "Status=-"];
    let items = told(netbox, &map, Some("device")).unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(
        (items[0].item.to_string().as_str(), items[0].declared.owner.as_deref()),
        ("device:sw-1", Some("it"))
    );
    assert_eq!(items[0].relations, None, "it says nothing of relations");
}

#[test]
fn what_cannot_be_used_is_told_with_its_line() {
    for (text, map, class, why) in [
        ("class,name\nservice,a\nserver,b\n", vec![], None, "line 3"),
        ("class,name\nserver,b\n", vec![], None, "\"server\" is not a class"),
        ("name\nb\n", vec![], None, "--class"),
        ("class,name\nservice,\n", vec![], None, "no name"),
        ("class,name,criticality\nservice,a,huge\n", vec![], None, "criticality"),
        ("class,name,labels\nservice,a,red\n", vec![], None, "not a label"),
        ("class,name,runs_on\nservice,a,web1\n", vec![], None, "CLASS:NAME"),
        ("class,name,Rack\nservice,a,7\n", vec![], None, "\"Rack\" is not one of ours"),
        ("class,name,Label\nservice,a,b\n", vec!["Label=name"], None, "two columns"),
        ("class,name\nservice,a,b\n", vec![], None, "cannot be read"),
        ("name\na\n", vec![], Some("server"), "\"server\" is not a class"),
        ("name\na\n", vec!["Name"], None, "THEIRS=OURS"),
        ("name\na\n", vec!["Name=nam"], None, "THEIRS=OURS"),
    ] {
        let told = told(text, &map, class).unwrap_err();
        assert!(told.contains(why), "{text}: {told}");
    }
    assert_eq!(told("", &[], None).map(|items| items.len()), Ok(0));
}

const NETBOX: &str = include_str!("../../../../tests/samples/netbox-devices.csv");
const IDOIT: &str = include_str!("../../../../tests/samples/idoit-objekte.csv");

/// A list of devices as NetBox exports the table that one sees.
#[test]
fn devices_of_netbox_come_with_their_state() {
    let options = [
        "--ignore",
        "--class=device",
        "--map=Tenant=owner",
        "--map=Site=environment",
        "--map=Status=lifecycle",
        "--map-value=Status.active=in_use",
        "--map-value=Status.Staged=planned",
        "--map-value=Status.decommissioning=retired",
    ];
    let items = sample(NETBOX, &options).unwrap();
    let told: Vec<_> = items
        .iter()
        .map(|item| {
            let lifecycle = plain(&Some(item.declared.lifecycle));
            (item.item.to_string(), lifecycle, item.declared.owner.clone().unwrap_or_default())
        })
        .collect();
    let line =
        |name: &str, lifecycle: &str, owner: &str| (name.to_owned(), lifecycle.to_owned(), owner.to_owned());
    assert_eq!(
        told,
        [
            line("device:sw-core-1", "in_use", "Network"),
            line("device:sw-core-2", "planned", "Network"),
            line("device:fw-1", "in_use", "Security"),
            line("device:pdu-r07-a", "retired", ""),
            line("device:san-1", "planned", "Storage"),
        ]
    );
    assert_eq!(items[0].declared.description.as_deref(), Some("Core switch, rack 7"));
    // A state that nobody has spoken of is no guess.
    let unknown = sample(NETBOX, &options[..6]).unwrap_err();
    assert!(unknown.contains("line 3") && unknown.contains("--map-value COLUMN.Staged=OURS"), "{unknown}");
}

/// A report of objects as i-doit exports it: their type says the class, and some types are left out.
#[test]
fn objects_of_i_doit_get_the_class_of_their_type() {
    let options = [
        "--ignore",
        "--map=Titel=name",
        "--map=Objekttyp=class",
        "--map=CMDB-Status=lifecycle",
        "--map=Zuständig=owner",
        "--map=Beschreibung=description",
        "--map-value=Objekttyp.Anwendung=software",
        "--map-value=Objekttyp.Service=service",
        "--map-value=Objekttyp.Person=-",
        "--map-value=Objekttyp.*=device",
        "--map-value=CMDB-Status.in Betrieb=in_use",
        "--map-value=CMDB-Status.geplant=planned",
        "--map-value=CMDB-Status.außer Betrieb=retired",
    ];
    let items = sample(IDOIT, &options).unwrap();
    let told: Vec<_> =
        items.iter().map(|item| format!("{} {}", item.item, plain(&Some(item.declared.lifecycle)))).collect();
    assert_eq!(
        told,
        [
            "device:db-hw-1 in_use",
            "device:shop-vm in_use",
            "device:sw-koeln-1 in_use",
            "device:Drucker Empfang retired",
            "software:Warenwirtschaft in_use",
            "service:Online-Shop planned",
        ]
    );
    assert_eq!(items[0].declared.description.as_deref(), Some("Datenbankserver; zwei Netzteile"));
    assert_eq!(items[1].declared.owner.as_deref(), Some("Team Web"));
    let unknown = sample(IDOIT, &options[..5]).unwrap_err();
    assert!(unknown.contains("\"Server\" is not a class; --map-value"), "{unknown}");
}

#[test]
fn a_mapping_that_fits_nothing_is_a_mistake() {
    for (options, why) in [
        (vec!["--map=Titel=name"], "the table has no column \"Titel\""),
        (vec!["--ignore", "--map-value=State.active=in_use"], "the table has no column \"State\""),
        (vec!["--map-value=active=in_use"], "is not COLUMN.VALUE=OURS"),
        (vec!["--map-value=Status.active"], "is not COLUMN.VALUE=OURS"),
        (vec!["--map-value=Status.=in_use"], "is not COLUMN.VALUE=OURS"),
        (vec!["--class=device"], "or all such ones with --ignore"),
    ] {
        let told = sample(NETBOX, &options).unwrap_err();
        assert!(told.contains(why), "{options:?}: {told}");
    }
}
