//! What the README says to type works as it stands, from its first line to its last, on a machine of its own.

use crate::common::{IMAGE, Machine};

const README: &str = include_str!("../../README.md");

/// For the machine of a developer, or with a dialogue that other tests hold.
const NOT_HERE: [&str; 18] = [
    "git clone <this repository> kopi-docka && cd kopi-docka",
    "sudo make setup build",
    "sudo make demo",
    "sudo make test",
    "sudo make install",
    "make deb && sudo apt install ./target/kopi-docka_*.deb",
    "sudo kopi-docka setup",
    "new-config",
    "new-config --force",
    "new-config --import kopi-docka.conf",
    "edit-config",
    "reset-config",
    "show-config",
    "sudo kopi-docka restore",
    "sudo kopi-docka change-password",
    // On another host: tests/it/new_host.rs.
    "sudo kopi-docka disaster-recovery --restore FILE",
    "sudo systemctl edit kopi-docka.timer",
    // For a host that has nothing of the unit.
    "… --target DIR",
];

/// Answered beforehand.
const ASK: [&str; 5] = [
    "restore --unit",
    "restore --all",
    "… ",
    "restore --undo",
    "--discard-safety",
];

#[derive(Debug, PartialEq)]
enum Example {
    Command(String),
    Json(String),
}

/// The blocks of the README that are typed or written to a file, and the commands that head the rows of its tables, in its order.
fn examples() -> Vec<Example> {
    let mut examples = Vec::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        let block = line.strip_prefix("```").filter(|kind| !kind.is_empty());
        if let Some(kind) = block {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            match kind {
                "sh" => examples.extend(commands(&block).into_iter().map(Example::Command)),
                "json" => examples.push(Example::Json(block.join("\n"))),
                other => panic!("nobody knows what is done with a block of {other}"),
            }
        } else if line == "```" {
            lines.by_ref().find(|line| *line == "```");
        } else if let Some(command) = line
            .strip_prefix("| `")
            .and_then(|row| row.split_once("` | "))
        {
            let is_command = [
                "restore ",
                "… ",
                "new-config",
                "edit-config",
                "reset-config",
                "show-config",
            ]
            .iter()
            .any(|start| command.0.starts_with(start));
            if is_command {
                examples.push(Example::Command(command.0.to_owned()));
            }
        }
    }
    examples
}

/// Each with what it is given, without its comment.
fn commands(block: &[&str]) -> Vec<String> {
    let mut commands = Vec::new();
    let mut lines = block.iter();
    while let Some(line) = lines.next() {
        let mut command = line.split("  #").next().unwrap().trim().to_owned();
        if let Some((_, word)) = line.split_once("<<'") {
            let end = word.trim_end_matches('\'');
            for line in lines.by_ref() {
                command += "\n";
                command += line;
                if *line == end {
                    break;
                }
            }
        }
        commands.push(command);
    }
    commands
}

/// With what stands for something filled in, as whoever reads it would.
fn filled_in(command: &str, number: usize) -> String {
    let asks = ASK.iter().any(|start| command.contains(start));
    let whole = match command.strip_prefix("… ") {
        Some(rest) => format!("restore --unit U --backup-id latest {rest}"),
        None => command.to_owned(),
    };
    let is_of_a_table = whole.starts_with("restore ");
    let mut words: Vec<String> = Vec::new();
    if is_of_a_table {
        words.push("kopi-docka".to_owned());
        for word in whole.split(' ') {
            words.push(match word {
                "U" => "nextcloud".to_owned(),
                "V" => "nextcloud_data".to_owned(),
                "H" => "machine".to_owned(),
                "NAME" => "copy".to_owned(),
                "DIR" => format!("/srv/restored-{number}"),
                "PATH" => "/srv/nextcloud".to_owned(),
                "[--path" => "--path".to_owned(),
                "P]" => "sub".to_owned(),
                other => other.to_owned(),
            });
        }
    } else {
        words.push(whole);
    }
    if asks && !command.contains("--yes") && !command.contains("--scripts") {
        words.push("--yes".to_owned());
    }
    words.join(" ")
}

/// A stack as Compose labels it, with something in its volume.
fn start_nextcloud(machine: &Machine) {
    let compose = format!(
        "services:\n  db:\n    image: {IMAGE}\n    volumes: [\"data:/data\"]\nvolumes:\n  data: {{}}\n"
    );
    machine.write("/srv/nextcloud/compose.yaml", "644", &compose);
    let labels = [
        "project=nextcloud",
        "service=db",
        "container-number=1",
        "oneoff=False",
        "project.working_dir=/srv/nextcloud",
        "project.config_files=/srv/nextcloud/compose.yaml",
    ];
    machine
        .engine
        .docker(&[
            "volume",
            "create",
            "--label",
            "com.docker.compose.project=nextcloud",
        ])
        .args([
            "--label",
            "com.docker.compose.volume=data",
            "nextcloud_data",
        ])
        .text();
    machine
        .engine
        .docker(&[
            "run",
            "--detach",
            "--name",
            "nextcloud-db-1",
            "--volume",
            "nextcloud_data:/data",
        ])
        .args(labels.map(|label| format!("--label=com.docker.compose.{label}")))
        .arg(IMAGE)
        .text();
    let data = "/var/lib/docker/volumes/nextcloud_data/_data/sub/dir/file";
    machine.write(data, "644", "saved");
}

#[test]
fn what_the_readme_says_to_type_works_as_it_stands() {
    let machine = Machine::of_users();
    machine.write("/usr/local/bin/sudo", "755", "#!/bin/sh\nexec \"$@\"\n");
    start_nextcloud(&machine);
    let mut not_here = NOT_HERE.to_vec();
    let mut typed = 0;
    for (number, example) in examples().into_iter().enumerate() {
        match example {
            Example::Command(command) => {
                if let Some(index) = not_here.iter().position(|known| *known == command) {
                    not_here.remove(index);
                    continue;
                }
                // Of tests/it/rebuild.rs: the containers have no compose file.
                if command.starts_with("… --yes --up") {
                    continue;
                }
                let command = filled_in(&command, number);
                let done = machine.sh(&command).stdout_any().stderr_any().run();
                assert_eq!(done.code, Some(0), "{command}\n{done}");
                typed += 1;
            }
            Example::Json(text) => {
                let text = if text.starts_with('{') {
                    text
                } else {
                    format!("{{ {text} }}")
                };
                machine.write("/etc/example.json", "600", &text);
                // Without a warning.
                machine
                    .sh("kopi-docka --config /etc/example.json show-config")
                    .stdout_any()
                    .ok();
            }
        }
    }
    assert!(not_here.is_empty(), "the README has lost {not_here:?}");
    assert!(typed > 25, "{typed}");
    assert!(machine.is_running("nextcloud-db-1"));
}
