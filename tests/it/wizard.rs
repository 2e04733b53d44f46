//! The restore wizard, with somebody at the keys of a real terminal.

use std::fs;
use std::path::PathBuf;

use crate::common::{Stack, Terminal, World};

struct Saved {
    world: World,
    stack: Stack,
    file: PathBuf,
}

impl Saved {
    fn new() -> Self {
        let world = World::new();
        world.init();
        let stack = world
            .stack("web")
            .service("db", |s| s.volume("data", "/data"))
            .service("app", |s| s.volume("more", "/more"))
            .up();
        let file = stack.volume_path("data").join("file");
        fs::write(&file, "saved").unwrap();
        world.backup(&stack);
        fs::write(&file, "changed").unwrap();
        Self { world, stack, file }
    }

    fn wizard(&self) -> Terminal {
        self.world.kd(&["restore"]).terminal()
    }

    #[track_caller]
    fn assert_untouched(&self) {
        assert_eq!(fs::read_to_string(&self.file).unwrap(), "changed");
        self.stack.assert_running(&["db", "app"]);
        // The lock is free, and nothing waits to be undone.
        self.world
            .kd(&["recover"])
            .stdout("Nothing to recover")
            .ok();
    }
}

#[test]
fn a_unit_comes_back_after_its_questions_and_a_look_at_the_plan() {
    let saved = Saved::new();
    let mut wizard = saved.wizard();
    wizard.choose("Unit to restore", 0);
    wizard.choose("Restore point", 0);
    wizard.choose("What of it", 0);
    wizard.choose("Where to", 0);
    wizard.see("replaced, kept beside it");
    wizard.see("Stopped for a moment");
    assert_eq!(fs::read_to_string(&saved.file).unwrap(), "changed");
    wizard.see("Restore 2 sources of");
    wizard.press("y");
    wizard.see("Restored volume");
    wizard.code(0);
    assert_eq!(fs::read_to_string(&saved.file).unwrap(), "saved");
    saved.stack.assert_running(&["db", "app"]);
}

#[test]
fn one_volume_goes_to_a_plain_folder() {
    let saved = Saved::new();
    let target = saved.world.path("out");
    let mut wizard = saved
        .world
        .kd(&["restore", "--unit", saved.stack.unit()])
        .terminal();
    wizard.choose("Restore point", 0);
    wizard.choose("What of it", 1);
    wizard.see("Which of them");
    wizard.press("\r");
    // Nothing is marked: it asks again.
    wizard.see("Which of them");
    wizard.press(" \r");
    wizard.choose("Where to", 1);
    wizard.answer("Directory", "relative/path");
    wizard.see("an absolute path");
    wizard.press(&"\x7f".repeat(40));
    wizard.press(target.to_str().unwrap());
    wizard.press("\r");
    wizard.see("No container is stopped");
    wizard.see("Restore 1 source of");
    wizard.press("y");
    wizard.code(0);
    let file = target.join("volumes").join(saved.stack.volume("data"));
    assert_eq!(fs::read_to_string(file.join("file")).unwrap(), "saved");
    saved.assert_untouched();
}

#[test]
fn on_a_bare_host_it_asks_whether_the_unit_is_to_be_started() {
    let world = World::new();
    world.init();
    let stack = world
        .stack("web")
        .service("db", |s| s.volume("data", "/data"))
        .up_with_compose();
    fs::write(stack.volume_path("data").join("file"), "saved").unwrap();
    world.backup(&stack);
    for (key, is_started) in [("n", false), ("y", true)] {
        stack.wipe();
        let mut wizard = world.kd(&["restore"]).terminal();
        for question in ["Unit to restore", "Restore point", "What of it", "Where to"] {
            wizard.choose(question, 0);
        }
        wizard.see("missing: the volume is made");
        wizard.see("Restore 1 source of");
        wizard.press("y");
        wizard.see("is back. Now start it");
        wizard.press(key);
        let rest = wizard.code(0);
        let file = stack.volume_path("data").join("file");
        assert_eq!(fs::read_to_string(file).unwrap(), "saved");
        assert_eq!(!stack.running().is_empty(), is_started, "{rest}");
        let is_told = rest.contains("The unit is not started. Next:");
        assert_eq!(is_told, !is_started, "{rest}");
    }
}

#[test]
fn single_files_are_asked_for_by_their_paths() {
    let saved = Saved::new();
    let target = saved.world.path("out");
    let mut wizard = saved.wizard();
    wizard.choose("Unit to restore", 0);
    wizard.choose("Restore point", 0);
    wizard.choose("What of it", 2);
    wizard.choose("Files of", 0);
    wizard.answer("Paths in it", "../out");
    wizard.see("is not a path inside");
    wizard.press(&"\x7f".repeat(20));
    wizard.press("file\r");
    wizard.choose("Where to", 1);
    wizard.answer("Directory", target.to_str().unwrap());
    wizard.see("Restore 1 source of");
    wizard.press("y");
    wizard.code(0);
    let file = target.join("volumes").join(saved.stack.volume("data"));
    assert_eq!(fs::read_to_string(file.join("file")).unwrap(), "saved");
    saved.assert_untouched();
}

#[test]
fn whatever_ends_it_early_changes_nothing_and_leaves_the_terminal_as_it_was() {
    let saved = Saved::new();
    let questions = ["Unit to restore", "Restore point", "What of it", "Where to"];
    for (index, question) in questions.iter().enumerate() {
        let (key, code) = [("\x1b", 5), ("\x03", 130)][index % 2];
        let mut wizard = saved.wizard();
        for before in &questions[..index] {
            wizard.choose(before, 0);
        }
        wizard.see(question);
        wizard.press(key);
        wizard.code(code);
    }
    for (key, code) in [("n", 5), ("\x03", 130)] {
        let mut wizard = saved.wizard();
        for question in questions {
            wizard.choose(question, 0);
        }
        wizard.see("stopped for a moment?");
        wizard.press(key);
        wizard.code(code);
    }
    let mut wizard = saved.wizard();
    wizard.see("Unit to restore");
    wizard.terminate();
    wizard.code(143);
    let mut wizard = saved.wizard();
    for question in &questions[..2] {
        wizard.choose(question, 0);
    }
    wizard.choose("What of it", 1);
    wizard.see("Which of them");
    wizard.press(" \r");
    wizard.choose("Where to", 1);
    wizard.see("Directory");
    wizard.press("/srv/x\x03");
    wizard.code(130);
    saved.assert_untouched();
}

#[test]
fn without_points_or_a_terminal_it_says_what_to_do() {
    let world = World::new();
    world.init();
    let rest = world.kd(&["restore"]).terminal().code(4);
    assert!(rest.contains("there are no restore points"), "{rest}");
    world
        .kd(&["restore"])
        .stderr("--backup-id latest")
        .stderr_any()
        .code(2);
}
