//! Messages: each kind to a real server, once for a cause and once when it is gone, never while services are down, and never at the cost of
//! an exit code or a secret.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::schema::assert_schema;
use crate::common::{
    Bed, Folder, Got, Inbox, MAIL_PASSWORD, MAIL_USER, Run, Signal, Stack, World, enlarge, path,
    until,
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

const MOMENT: Duration = Duration::from_secs(60);

/// A part of every address here that must never be seen.
const SECRET: &str = "8f1e4f0a-5b0c-4c3e-secret";

#[track_caller]
fn tell(world: &World, targets: &[Value]) {
    world.config(|config| config["notify"] = targets.into());
}

fn target(kind: &str, url: &str, when: &str) -> Value {
    json!({"type": kind, "url": url, "when": when})
}

/// A host with the stack `web` and a target for it.
#[track_caller]
fn host(targets: &[Value]) -> (World, Stack) {
    let world = World::new();
    let stack = world.web();
    world.init();
    tell(&world, targets);
    (world, stack)
}

fn backup(world: &World, unit: &str) -> Run {
    let run = world.kd(&["--quiet", "backup", "--unit", unit]);
    run.stdout_any()
}

/// What no run tells, as `kopi-docka-notify.service` does it.
fn due(world: &World) -> Run {
    world.kd(&["notify", "--due"])
}

/// `rid` of a request to a check.
#[track_caller]
fn run_of(path: &str) -> &str {
    path.split_once("?rid=")
        .unwrap_or_else(|| panic!("no run in {path}"))
        .1
}

#[track_caller]
fn problems(got: &Got, list: &str) -> Vec<String> {
    let document = got.json();
    assert_schema("notify-webhook", &document);
    let all = document[list].as_array().unwrap();
    all.iter()
        .map(|one| one["what"].as_str().unwrap().to_owned())
        .collect()
}

// ---- each kind ----

#[test]
fn each_kind_is_told_in_its_own_way() {
    let inbox = Inbox::http();
    let (world, stack) = host(&[]);
    let token = world.secret_file("token", "tk_topsecret\n");
    let key = world.secret_file("key", "the key\n");
    let mut ntfy = target("ntfy", &inbox.url("/topic"), "always");
    ntfy["token_file"] = json!(token);
    let mut gotify = target("gotify", &inbox.url("/gotify"), "success");
    gotify["token_file"] = json!(token);
    let mut webhook = target("webhook", &inbox.url("/hook"), "always");
    webhook["hmac_file"] = json!(key);
    let file = world.secret_file("url", &format!("{}\n", inbox.url("/ping/check")));
    let check = json!({"type": "healthchecks", "url_file": file});
    let silent = target("webhook", &inbox.url("/silent"), "problem");
    let of_other =
        json!({"type": "ntfy", "url": inbox.url("/other"), "when": "always", "unit": "other"});
    tell(&world, &[ntfy, gotify, webhook, check, silent, of_other]);
    let report = world.backup(&stack);

    let got = inbox.got();
    let at = |path: &str| {
        let mut found = got
            .iter()
            .filter(|got| got.path.split('?').next() == Some(path));
        let one = found
            .next()
            .unwrap_or_else(|| panic!("nothing came to {path}: {got:#?}"));
        assert!(found.next().is_none(), "{path}: {got:#?}");
        one
    };
    assert_eq!(got.len(), 5, "{got:#?}");
    let ntfy = at("/topic");
    assert_eq!(ntfy.headers["authorization"], "Bearer tk_topsecret");
    assert!(
        ntfy.headers["title"].ends_with(": backup: success"),
        "{ntfy:?}"
    );
    assert!(
        ntfy.body
            .contains("success (exit code 0), 1 of 1 unit saved well in "),
        "{ntfy:?}"
    );
    assert!(
        ntfy.body
            .contains(&format!("unit `{}`: saved, down for ", stack.unit())),
        "{ntfy:?}"
    );

    let gotify = at("/gotify/message");
    assert_eq!(gotify.headers["x-gotify-key"], "tk_topsecret");
    assert_eq!(gotify.json()["priority"], 4);
    assert!(
        gotify.json()["message"]
            .as_str()
            .unwrap()
            .contains("saved well")
    );

    let webhook = at("/hook");
    assert_schema("notify-webhook", &webhook.json());
    assert_eq!(webhook.json()["event"], "ended");
    assert_eq!(webhook.json()["report"], report);
    assert_schema("run-report", &webhook.json()["report"]);
    let body = world.path("body");
    fs::write(&body, &webhook.body).unwrap();
    let openssl = Run::new("openssl").args(["dgst", "-sha256", "-hmac", "the key"]);
    let signed = openssl.arg(&body).env("PATH", path()).text();
    let digest = signed.rsplit(' ').next().unwrap();
    assert_eq!(
        webhook.headers["x-signature-256"],
        format!("sha256={digest}")
    );

    let (start, end) = (at("/ping/check/start"), at("/ping/check/0"));
    assert_eq!(run_of(&start.path), run_of(&end.path));
    assert_eq!(webhook.json()["run"]["id"], run_of(&end.path));
    assert!(start.time < end.time);
    // The end of the log goes along.
    assert!(end.body.contains(" INFO backup["), "{end:?}");
    assert!(end.body.contains(": step read"), "{end:?}");
    assert!(end.body.len() < 12_000);

    // Another run has another id, and the header another name.
    let id = run_of(&end.path);
    world.config(|config| config["notify"][2]["hmac_header"] = json!("X-Mine"));
    inbox.clear();
    world.backup(&stack);
    let got = inbox.got();
    let hook = got.iter().find(|got| got.path == "/hook").unwrap();
    assert!(hook.headers.contains_key("x-mine"), "{hook:?}");
    assert!(!hook.headers.contains_key("x-signature-256"), "{hook:?}");
    let end = got
        .iter()
        .find(|got| got.path.starts_with("/ping/check/0"))
        .unwrap();
    assert_ne!(run_of(&end.path), id);
}

#[test]
fn a_message_goes_over_tls_to_who_can_prove_its_name() {
    let inbox = Inbox::https();
    let ca = inbox.tls.as_ref().unwrap().ca.clone();
    let mut trusted = target("webhook", &inbox.url("/trusted"), "always");
    trusted["ca_file"] = json!(ca);
    let unknown = target("webhook", &inbox.url("/unknown"), "always");
    let mut other_name = target(
        "webhook",
        &inbox.url("/name").replace("localhost", "127.0.0.2"),
        "always",
    );
    other_name["ca_file"] = json!(ca);
    let (world, stack) = host(&[trusted, unknown, other_name]);
    let began = Instant::now();
    let run = backup(&world, stack.unit());
    run.stderr("`notify[1]`")
        .stderr("`notify[2]`")
        .stderr("certificate")
        .stderr("`ca_file`")
        .ok();
    // Another try would change nothing.
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_eq!(inbox.paths(), ["/trusted"]);
}

#[test]
fn a_mail_is_sent_to_a_server_that_encrypts_and_to_no_other() {
    for how in ["starttls", "implicit"] {
        let inbox = Inbox::mail(how);
        let (world, stack) = host(&[]);
        let password = world.secret_file("mail", MAIL_PASSWORD);
        let mail = json!({
            "type": "email", "url": format!("smtp://{}@localhost:{}", MAIL_USER, inbox.port()), "tls": how, "password_file": password,
            "ca_file": inbox.tls.as_ref().unwrap().ca, "from": "Backup <backup@example.org>", "to": ["admin@example.org", "b@example.org"],
            "when": "always",
        });
        let mut not_trusted = mail.clone();
        not_trusted.as_object_mut().unwrap().remove("ca_file");
        not_trusted["to"] = json!(["not-trusted@example.org"]);
        let mut wrong_password = mail.clone();
        wrong_password["password_file"] = json!(world.secret_file("wrong", "a-wrong-password"));
        tell(&world, &[mail.clone(), not_trusted, wrong_password]);
        let run = backup(&world, stack.unit());
        let done = run
            .stderr("`notify[1]` (email, smtp://localhost:")
            .stderr("`notify[2]`")
            .ok();
        assert!(!done.stderr().contains("a-wrong-password"), "{done}");
        assert!(!done.stderr().contains("`notify[0]`"), "{done}");

        let [mail] = inbox.mails().try_into().unwrap();
        assert_eq!(mail["from"], "backup@example.org");
        assert_eq!(mail["to"], json!(["admin@example.org", "b@example.org"]));
        let body = mail["body"].as_str().unwrap();
        assert!(body.contains("Subject: kopi-docka on "), "{body}");
        // As mail has long lines.
        let text = body.replace("=\r\n", "");
        assert!(text.contains("saved well in "), "{body}");
    }
    // A server that does not offer it gets neither the password nor the mail.
    let inbox = Inbox::http();
    let (world, stack) = host(&[]);
    let mail = json!({
        "type": "email", "url": format!("smtp://{}:{MAIL_PASSWORD}@localhost:{}", MAIL_USER.replace('@', "%40"), inbox.port()),
        "from": "a@example.org", "to": ["b@example.org"], "when": "always",
    });
    tell(&world, &[mail]);
    backup(&world, stack.unit()).stderr("`notify[0]`").ok();
    assert!(inbox.got().is_empty());
}

// ---- servers that fail ----

#[test]
fn a_server_that_fails_is_tried_three_times_and_changes_no_exit_code() {
    let shaky = Inbox::http();
    let broken = Inbox::http();
    let hung = Inbox::http();
    let refusing = Inbox::http();
    let mut gone = Inbox::http();
    gone.close();
    shaky.answers("500 503");
    broken.answers("500 500 500 500");
    hung.answers("hang hang hang hang");
    refusing.answers("403 403 403 403");
    let targets: Vec<Value> = [&shaky, &broken, &hung, &refusing, &gone]
        .iter()
        .map(|inbox| target("webhook", &inbox.url("/x"), "always"))
        .collect();
    let (world, stack) = host(&targets);
    let began = Instant::now();
    let run = backup(&world, stack.unit());
    let done = run
        .stderr("`notify[1]` (webhook, http://localhost:")
        .stderr("the server answered 500 Internal Server Error (3 tries)")
        .stderr("no answer within 10 s (3 tries)")
        .stderr("the server answered 403 Forbidden\n")
        .stderr("no connection: Connection refused")
        .ok();
    assert!(!done.stderr().contains("notify[0]"), "{done}");
    let took = began.elapsed();
    // Side by side: no more than the slowest, and that is given up.
    assert!(took > Duration::from_secs(30), "{took:?}");
    let report = world.report();
    let ended: DateTime<Utc> = report["finished_at"].as_str().unwrap().parse().unwrap();
    let delayed = (Utc::now() - ended).to_std().unwrap();
    assert!(delayed < Duration::from_secs(41), "{delayed:?}");
    assert_eq!(shaky.paths().len(), 3);
    assert_eq!(broken.paths().len(), 3);
    assert_eq!(hung.paths().len(), 3);
    assert_eq!(refusing.paths().len(), 1);
    assert_eq!(report["exit_code"], 0);
    assert_eq!(report["units"][0]["outcome"], "saved");
}

#[test]
fn no_secret_is_seen_anywhere() {
    let inbox = Inbox::http();
    let (world, stack) = host(&[]);
    let token = world.secret_file("token", "tk_topsecret_7391");
    let key = world.secret_file("key", "hmac_topsecret_7391");
    let login = |url: &str| url.replace("http://", "http://user-secret:pass-secret@");
    let url = login(&inbox.url(&format!("/{SECRET}?token={SECRET}")));
    let file = world.secret_file("url", &url);
    let mut ntfy = target("ntfy", &url, "always");
    ntfy["token_file"] = json!(token);
    let mut webhook = target("webhook", &url, "always");
    webhook["hmac_file"] = json!(key);
    let check = json!({"type": "healthchecks", "url_file": file});
    let nobody = target("webhook", &format!("http://localhost:1/{SECRET}"), "always");
    tell(&world, &[ntfy, webhook, check, nobody]);
    inbox.answers("500 403 500 500 500 500 500 500 500 500 500 500");
    let run = world.kd(&[
        "--json",
        "--log-level",
        "trace",
        "backup",
        "--unit",
        stack.unit(),
    ]);
    let done = run.stdout_any().stderr("`notify[3]`").ok();
    let test = world
        .kd(&["--json", "notify", "--test"])
        .stdout_any()
        .stderr_any()
        .code(3);
    assert_schema("notify-test", &test.json());
    let shown = world.kd(&["show-config", "--json"]).json();
    assert_eq!(
        shown["notify"][0]["url"],
        format!("http://localhost:{}/***", inbox.port())
    );
    let check = world.kd(&["check"]).stdout_any().stderr_any().run();
    let texts = [
        done.stdout(),
        done.stderr(),
        test.stdout(),
        test.stderr(),
        check.stdout(),
        shown.to_string(),
        world.report().to_string(),
        fs::read_to_string(world.path("kopi-docka.log")).unwrap(),
        read_all(&world.path("state")),
    ];
    for text in &texts {
        for secret in [SECRET, "user-secret", "pass-secret", "topsecret"] {
            assert!(!text.contains(secret), "{secret} is in:\n{text}");
        }
    }
    // And what is sent to one has no secret of the repository.
    assert!(
        inbox
            .got()
            .iter()
            .all(|got| !got.body.contains(crate::common::PASSWORD))
    );
    assert!(inbox.got().iter().all(|got| !got.body.contains(SECRET)));

    // What is wrong with an address is said without it.
    tell(
        &world,
        &[target("ntfy", &format!("htp://host/{SECRET}"), "always")],
    );
    let done = world
        .kd(&["show-config"])
        .stderr("`notify[0].url`")
        .code(16);
    assert!(!done.stderr().contains(SECRET), "{done}");
    // The file has a secret, and is no one else's.
    tell(&world, &[target("ntfy", &inbox.url("/x"), "always")]);
    fs::set_permissions(world.config_path(), fs::Permissions::from_mode(0o644)).unwrap();
    world
        .kd(&["show-config"])
        .stderr("it holds a secret")
        .code(16);
}

fn read_all(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&read_all(&path));
        } else {
            text.push_str(&String::from_utf8_lossy(&fs::read(&path).unwrap()));
        }
    }
    text
}

// ---- the test of it ----

#[test]
fn a_test_message_goes_to_each_target_and_what_became_of_it_is_shown() {
    let inbox = Inbox::http();
    let (world, _stack) = host(&[]);
    let none = world.kd(&["notify", "--test"]);
    none.stderr("nobody is told of runs and problems").code(4);
    world.kd(&["notify"]).stderr_any().code(2);

    let token = world.secret_file("token", "tk_topsecret");
    let mut ntfy = target("ntfy", &inbox.url("/topic"), "problem");
    ntfy["token_file"] = json!(token);
    let check = json!({"type": "healthchecks", "url": inbox.url("/ping")});
    tell(&world, &[ntfy.clone(), check]);
    let test = world.kd(&["notify", "--test"]);
    test.stdout_is(format!(
        "`notify[0]` (ntfy, http://localhost:{0}/***): sent\n`notify[1]` (healthchecks, http://localhost:{0}/***): sent\n",
        inbox.port()
    ))
    .ok();
    // It says nothing about a run, and a check stays as it is.
    let mut paths = inbox.paths();
    paths.sort();
    assert_eq!(paths, ["/ping/log", "/topic"]);

    // A token that others can read is not used.
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    let test = world.kd(&["notify", "--test"]);
    test.stdout("not sent: `")
        .stdout("mode 0644")
        .stdout("`notify[1]` (healthchecks")
        .code(3);
    world
        .kd(&["check"])
        .stdout("`notify[0]` cannot be told anything")
        .stderr_any()
        .stdout("chmod 600")
        .run();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();

    // A target that cannot work is an error of the configuration.
    for (key, value, wrong) in [
        ("type", json!("pager"), "`notify[0].type`"),
        ("when", json!("sometimes"), "`notify[0].when`"),
        ("to", json!(["a@b.org"]), "`notify[0].to`"),
        ("url", Value::Null, "`notify[0].url` is missing"),
    ] {
        let mut broken = ntfy.clone();
        broken[key] = value;
        tell(&world, &[broken]);
        world.kd(&["notify", "--test"]).stderr(wrong).code(16);
    }
    let mut odd = ntfy;
    odd["priority"] = json!(5);
    tell(&world, &[odd]);
    world
        .kd(&["notify", "--test"])
        .stdout_any()
        .stderr("`notify[0].priority` is ignored")
        .ok();
}

// ---- how a run ends ----

#[test]
fn a_signal_and_a_kill_are_told_with_the_id_of_their_run() {
    let inbox = Inbox::http();
    let check = json!({"type": "healthchecks", "url": inbox.url("/ping")});
    let hook = target("webhook", &inbox.url("/hook"), "problem");
    let (world, stack) = host(&[check, hook]);
    let unit = [stack.unit()];

    let start = || {
        let mut paths = inbox.paths().into_iter();
        let start = paths.find(|path| path.contains("/start")).unwrap();
        run_of(&start).to_owned()
    };
    let hook = || -> Vec<Got> {
        let got = inbox.got().into_iter();
        got.filter(|got| got.path == "/hook").collect()
    };

    let hold = || world.hold_backup(&unit, "prepare", |run| run.stdout_any().stderr_any());
    let held = hold();
    inbox.until_path("/ping/start");
    held.signal(Signal::TERM);
    held.release().code(143);
    let (id, paths) = (start(), inbox.paths());
    assert!(paths.contains(&format!("/ping/143?rid={id}")), "{paths:?}");
    assert_eq!(problems(&hook()[0], "problems"), ["backup", "unit"]);

    // Whoever is killed says nothing; the next `recover` does, and once.
    inbox.clear();
    let held = hold();
    inbox.until_path("/ping/start");
    held.signal(Signal::KILL);
    held.release().wait();
    let id = start();
    assert_eq!(inbox.paths().len(), 1, "{:?}", inbox.paths());
    for _ in 0..2 {
        world.kd(&["recover"]).stdout_any().ok();
        due(&world).ok();
    }
    let paths = inbox.paths();
    let fails: Vec<_> = paths.iter().filter(|path| path.contains("/fail")).collect();
    assert_eq!(fails, [&format!("/ping/fail?rid={id}")], "{paths:?}");
    assert_eq!(hook().len(), 1);
    assert_eq!(problems(&hook()[0], "problems"), ["killed"]);

    // In a window too; and where nobody recovers it is the next backup that says so, which brings the services up as well.
    world.killed_at(&unit, "read");
    inbox.clear();
    backup(&world, stack.unit()).stderr_any().ok();
    let paths = inbox.paths();
    assert!(
        paths.iter().any(|path| path.starts_with("/ping/0?rid=")),
        "{paths:?}"
    );
    due(&world).ok();
    stack.until_up();
    let left = fs::read_dir(world.path("state/notify")).unwrap();
    let left = left.filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .path()
            .extension()
            .is_some_and(|e| e == "run")
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn a_message_of_the_start_is_cut_off_when_services_go_down() {
    let inbox = Inbox::http();
    inbox.answers("hang");
    let check = json!({"type": "healthchecks", "url": inbox.url("/ping")});
    let (world, stack) = host(&[check]);
    let began = Instant::now();
    let report = world.backup(&stack);
    // It waited for nobody: one try alone takes ten seconds.
    assert!(
        report["units"][0]["downtime_seconds"].as_f64().unwrap() < 8.0,
        "{report:#}"
    );
    assert!(began.elapsed() < Duration::from_secs(60));
    let log = fs::read_to_string(world.path("kopi-docka.log")).unwrap();
    assert!(
        log.contains("the message that the run begins is given up"),
        "{log}"
    );
    let times: Vec<(f64, f64)> = windows(&report);
    assert!(!times.is_empty());
    for got in inbox.got() {
        let is_inside = times
            .iter()
            .any(|(from, to)| (*from..*to).contains(&got.time));
        assert!(!is_inside, "{got:?} came in a window: {times:?}");
    }
    let paths = inbox.paths();
    assert_eq!(paths.len(), 2, "{paths:?}");
    assert!(paths[1].starts_with("/ping/0?rid="), "{paths:?}");
}

/// From when to when services were down, in seconds since 1970.
fn windows(report: &Value) -> Vec<(f64, f64)> {
    let steps = report["units"][0]["steps"].as_array().unwrap().iter();
    let down = steps.filter(|step| step["in_window"] == true);
    down.map(|step| {
        let from: DateTime<Utc> = step["started_at"].as_str().unwrap().parse().unwrap();
        let from = from.timestamp_micros() as f64 / 1e6;
        (from, from + step["seconds"].as_f64().unwrap())
    })
    .collect()
}

// ---- causes ----

#[test]
fn a_problem_is_told_once_until_it_is_gone_and_then_once_more() {
    let inbox = Inbox::http();
    let world = World::new();
    let folder = world.dir("photos");
    fs::write(folder.join("photo"), [7; 4000]).unwrap();
    let stack = world.stack("gallery");
    let stack = stack
        .service("app", |s| s.volume("db", "/db").bind(&folder, "/photos"))
        .up();
    world.config(|config| config["retention"]["latest"] = json!(5));
    world.init();
    let unit = stack.unit();
    let mut of_unit = target("webhook", &inbox.url("/unit"), "problem");
    of_unit["unit"] = json!(unit);
    let mut of_other = target("webhook", &inbox.url("/other"), "problem");
    of_other["unit"] = json!("other");
    let check = target("healthchecks", &inbox.url("/check"), "problem");
    tell(
        &world,
        &[
            target("webhook", &inbox.url("/all"), "problem"),
            of_unit,
            of_other,
            check,
        ],
    );
    let at = |path: &str| -> Vec<Got> {
        let got = inbox.got().into_iter();
        got.filter(|got| got.path.split('?').next() == Some(path))
            .collect()
    };
    world.backup(&stack);
    assert!(inbox.got().is_empty(), "{:?}", inbox.got());

    let limit =
        |bytes: Value| world.config(|config| config["backup"]["bind_mounts"]["max_size"] = bytes);
    limit(json!(10));
    for _ in 0..3 {
        backup(&world, unit).stderr_any().code(3);
    }
    for path in ["/all", "/unit"] {
        let got = at(path);
        assert_eq!(got.len(), 1, "{got:#?}");
        assert_eq!(
            problems(&got[0], "problems"),
            ["loss", "retention_suspended"]
        );
        assert_eq!(got[0].json()["report"]["exit_code"], 3);
        assert_eq!(got[0].json()["problems"][0]["unit"], unit);
    }
    // A check is told by each run how that ended.
    assert_eq!(at("/check/3").len(), 3);

    limit(json!("50GiB"));
    for _ in 0..2 {
        world.backup(&stack);
    }
    for path in ["/all", "/unit"] {
        let got = at(path);
        assert_eq!(got.len(), 2, "{got:#?}");
        assert_eq!(problems(&got[1], "problems"), Vec::<String>::new());
        assert_eq!(problems(&got[1], "gone"), ["loss", "retention_suspended"]);
    }
    // And that it can be up again.
    assert_eq!(at("/check/0").len(), 1);
    assert!(at("/other").is_empty());

    // It comes back, while the server is away: it is told when that is there again.
    limit(json!(10));
    inbox.answers("500 500 500 500 500 500 500 500 500");
    backup(&world, unit)
        .stderr("a message was not delivered")
        .code(3);
    inbox.clear();
    inbox.answers("");
    backup(&world, unit).stderr_any().code(3);
    assert_eq!(
        problems(&at("/all")[0], "problems"),
        ["loss", "retention_suspended"]
    );
}

#[test]
fn three_hot_runs_in_a_row_are_a_problem() {
    let inbox = Inbox::http();
    let world = World::new();
    let shared = world.dir("shared");
    let stack = world
        .stack("web")
        .service("db", |s| s.bind(&shared, "/data"))
        .up();
    world.container("other", |s| s.bind(&shared, "/data"));
    world.init();
    world.config(|config| config["backup"]["shared_volumes"] = json!("warn"));
    tell(&world, &[target("webhook", &inbox.url("/hook"), "problem")]);
    for run in 1..=4 {
        backup(&world, stack.unit()).stderr_any().run();
        assert_eq!(world.report()["units"][0]["grade"], "hot");
        let hot = inbox
            .got()
            .iter()
            .filter(|got| problems(got, "problems").contains(&"hot".to_owned()))
            .count();
        assert_eq!(hot, usize::from(run >= 3), "run {run}: {:#?}", inbox.got());
    }
    world.config(|config| config["backup"]["shared_volumes"] = json!("stop"));
    backup(&world, stack.unit()).stderr_any().ok();
    let last = inbox.got().pop().unwrap();
    assert!(
        problems(&last, "gone").contains(&"hot".to_owned()),
        "{last:?}"
    );
}

#[test]
fn a_unit_that_is_left_up_is_a_problem_after_three_nights() {
    let inbox = Inbox::http();
    let (world, stack) = host(&[target("webhook", &inbox.url("/hook"), "problem")]);
    world.backup(&stack);
    world.config(|config| config["backup"]["max_downtime"] = json!(1));
    // What was expected last time does not fit any more.
    slow_last_night(&world);
    for night in 1..=3 {
        backup(&world, stack.unit()).stderr_any().code(3);
        assert_eq!(world.report()["units"][0]["outcome"], "skipped");
        assert_eq!(
            inbox.got().len(),
            usize::from(night == 3),
            "night {night}: {:#?}",
            inbox.got()
        );
    }
    assert_eq!(problems(&inbox.got()[0], "problems"), ["left_up"]);
    world.config(|config| config["backup"]["max_downtime"] = Value::Null);
    world.backup(&stack);
    assert_eq!(problems(&inbox.got()[1], "gone"), ["left_up"]);
}

/// The reports say that the unit was down for a minute, for other things than reading.
fn slow_last_night(world: &World) {
    for entry in fs::read_dir(world.path("backup/metadata")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let mut report: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            report["units"][0]["downtime_seconds"] = json!(60.0);
            fs::write(&path, report.to_string()).unwrap();
        }
    }
}

#[test]
fn a_storage_that_is_nearly_full_is_a_problem_until_it_is_not() {
    let inbox = Inbox::http();
    let folder = Folder::new("storage");
    let disk = folder.mount_small("disk", 200);
    let world = World::new();
    let stack = world.web();
    world.config(|config| {
        config["kopia"]["kopia_params"] =
            json!(format!("filesystem --path {}/repo", disk.display()));
    });
    world.init_for_real();
    tell(&world, &[target("webhook", &inbox.url("/hook"), "problem")]);
    for _ in 0..2 {
        world.backup(&stack);
    }
    let got = inbox.got();
    assert_eq!(got.len(), 1, "{got:#?}");
    assert_eq!(problems(&got[0], "problems"), ["storage_nearly_full"]);
    enlarge(&disk, 4000);
    for _ in 0..2 {
        world.backup(&stack);
    }
    let got = inbox.got();
    assert_eq!(got.len(), 2, "{got:#?}");
    assert_eq!(problems(&got[1], "gone"), ["storage_nearly_full"]);
}

#[test]
fn that_no_backup_comes_is_told_and_that_one_came_again() {
    let inbox = Inbox::http();
    let check = json!({"type": "healthchecks", "url": inbox.url("/ping")});
    let (world, stack) = host(&[target("webhook", &inbox.url("/hook"), "problem"), check]);
    // Between two looks nothing is there to look with.
    due(&world).ok();
    world.backup(&stack);
    inbox.clear();
    let late = |seconds: &str| due(&world).env("KOPI_DOCKA_FAULT_INTERVAL_SECONDS", seconds);
    late("3600").ok();
    assert!(inbox.got().is_empty(), "{:?}", inbox.got());
    until("it to be late", MOMENT, || {
        late("1").ok();
        (!inbox.got().is_empty()).then_some(())
    });
    late("1").ok();
    let got = inbox.got();
    assert_eq!(got.len(), 2, "{got:#?}");
    let hook = got.iter().find(|got| got.path == "/hook").unwrap();
    assert_eq!(problems(hook, "problems"), ["no_run"]);
    assert!(got.iter().any(|got| got.path == "/ping/fail"), "{got:#?}");

    world.backup(&stack);
    late("3600").ok();
    let gone = inbox
        .got()
        .into_iter()
        .filter(|got| got.path == "/hook" && problems(got, "gone") == ["no_run"]);
    assert_eq!(gone.count(), 1, "{:#?}", inbox.got());

    // While one is at work none is late.
    let held = world.hold_backup(&[stack.unit()], "read", |run| run.stdout_any().stderr_any());
    inbox.clear();
    let count = || inbox.got().iter().filter(|got| got.path == "/hook").count();
    let began = Instant::now();
    until("two seconds", MOMENT, || {
        (began.elapsed() > Duration::from_millis(2100)).then_some(())
    });
    late("1").ok();
    assert_eq!(count(), 0, "{:#?}", inbox.got());
    held.release().ok();

    // Nobody is to be told any more, and nothing is left to look with.
    tell(&world, &[]);
    due(&world).ok();
    let left = fs::read_dir(world.path("state/notify")).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn a_backup_that_is_made_up_for_is_no_problem_before_it_is_given_up() {
    let engine = Bed::own_engine();
    let world = World::on(&engine);
    world.web();
    let inbox = Inbox::http();
    world.init();
    let check = json!({"type": "healthchecks", "url": inbox.url("/ping")});
    tell(
        &world,
        &[target("webhook", &inbox.url("/hook"), "problem"), check],
    );
    world.config(|config| {
        config["backup"]["retry_when_reachable"] = json!("2s");
    });
    fs::rename(world.path("repo"), world.path("elsewhere")).unwrap();
    let run = world.kd(&["--quiet", "backup"]);
    let done = run.stdout_any().stderr_any().run();
    assert_eq!(done.code, Some(17), "{done}");
    let paths = inbox.paths();
    assert!(
        paths.iter().any(|path| path.starts_with("/ping/17?")),
        "{paths:?}"
    );
    assert!(!paths.contains(&"/hook".to_owned()), "{paths:?}");
    until("it to be given up", MOMENT, || {
        let retry = world.kd(&["retry"]).stdout_any().stderr_any().run();
        (retry.code == Some(17)).then_some(())
    });
    let hook: Vec<Got> = inbox
        .got()
        .into_iter()
        .filter(|got| got.path == "/hook")
        .collect();
    assert_eq!(hook.len(), 1, "{hook:#?}");
    assert_eq!(problems(&hook[0], "problems"), ["given_up"]);
    assert!(
        hook[0].json()["problems"][0]["text"]
            .as_str()
            .unwrap()
            .contains("was not made")
    );
}

#[test]
fn the_daemon_tells_that_no_backup_comes() {
    let engine = Bed::own_engine();
    let world = World::on(&engine);
    world.web();
    let inbox = Inbox::http();
    world.init();
    tell(&world, &[target("webhook", &inbox.url("/hook"), "problem")]);
    let daemon = world.kd(&["daemon", "--interval-minutes", "60"]);
    let daemon = daemon.env("KOPI_DOCKA_FAULT_RETRY_SECONDS", "1");
    let daemon = daemon.env("KOPI_DOCKA_FAULT_INTERVAL_SECONDS", "2");
    let mut daemon = daemon.stdout_any().stderr_any().spawn();
    daemon.until("a message", |_| (!inbox.got().is_empty()).then_some(()));
    assert_eq!(world.reports().len(), 1);
    let looks = Instant::now();
    daemon.until("two more looks", |_| {
        (looks.elapsed() > Duration::from_secs(3)).then_some(())
    });
    daemon.signal(Signal::TERM);
    daemon.code(143);
    let got = inbox.got();
    assert_eq!(got.len(), 1, "{got:#?}");
    assert_eq!(problems(&got[0], "problems"), ["no_run"]);
}
