//! Nights in which somebody does to a tree whatever can be done to it, while it is read and after, and puts names back where they were.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use rand::RngExt as _;

use super::super::names::Cut;
use super::nights::Nights;
use super::tree::{Mapping, Tree, exchange, with_ending};

/// Goes on until it is dropped.
struct Meanwhile {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Meanwhile {
    fn go_on(mut step: impl FnMut() + Send + 'static) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        let thread = spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                step();
            }
        });
        Self {
            is_over,
            thread: Some(thread),
        }
    }
}

impl Drop for Meanwhile {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Maps files and stores into them as long as it lives, and never writes anything out.
fn mapper(source: &Path, seed: u64) -> Meanwhile {
    let mut tree = Tree::new(source, seed);
    let mut maps: Vec<Mapping> = Vec::new();
    Meanwhile::go_on(move || {
        if maps.len() < 6
            && tree.random().random_bool(0.3)
            && let Ok(map) = tree.file().and_then(|path| Mapping::of(&path))
        {
            maps.push(map);
        }
        let (at, byte, wait): (u64, u8, u16) = tree.random().random();
        if !maps.is_empty() {
            let _ = maps[usize::from(byte) % maps.len()].store(at, byte);
        }
        sleep(Duration::from_micros(u64::from(wait) % 30_000));
    })
}

fn attacker(source: &Path, seed: u64) -> Meanwhile {
    let mut tree = Tree::new(source, seed);
    Meanwhile::go_on(move || {
        tree.attack(1);
        let wait = tree.random().random_range(0..20_000);
        sleep(Duration::from_micros(wait));
    })
}

type Undo = Box<dyn FnOnce()>;

/// Renames on the way to files; what is returned puts them back.
fn swap_away(tree: &mut Tree) -> Vec<Undo> {
    let mut undo: Vec<Undo> = Vec::new();
    for _ in 0..tree.random().random_range(0..4) {
        let kind = tree.random().random_range(0..3);
        if kind == 0 {
            let Ok(path) = tree.directory() else { continue };
            let away = with_ending(&path, ".away");
            if std::fs::rename(&path, &away).is_ok() {
                undo.push(Box::new(move || drop(std::fs::rename(away, path))));
            }
            continue;
        }
        let pair = if kind == 1 {
            (tree.directory(), tree.directory())
        } else {
            (tree.file(), tree.file())
        };
        if let (Ok(a), Ok(b)) = pair
            && exchange(&a, &b).is_ok()
        {
            undo.push(Box::new(move || drop(exchange(&a, &b))));
        }
    }
    undo
}

/// Three nights.
fn one(nights: &mut Nights, seed: u64) {
    let mut tree = Tree::new(&nights.source, seed);
    tree.fill(8, 60);
    tree.attack(80);
    tree.fill(0, 30);
    for night in 0..3 {
        if tree.random().random_bool(0.7) {
            sleep(nights.rules.margin + Duration::from_millis(20));
        }
        let mapping = mapper(&nights.source, tree.random().random());
        sleep(Duration::from_millis(tree.random().random_range(0..150)));
        let is_noisy = tree.random().random_bool(0.6);
        let attack = is_noisy.then(|| attacker(&nights.source, tree.random().random()));
        let mut undo = Vec::new();
        nights.rules.cut = Cut {
            above: 0,
            most_streams: tree.random().random_range(1..=3),
        };
        let undo_cell = std::cell::RefCell::new(&mut undo);
        nights.hot(
            || undo_cell.borrow_mut().extend(swap_away(&mut tree)),
            || {
                undo_cell
                    .borrow_mut()
                    .drain(..)
                    .rev()
                    .for_each(|back| back())
            },
        );
        drop(attack);
        let more = [0, 0, 1, 3, 15][tree.random().random_range(0..5)];
        tree.attack(more);
        drop(mapping);
        let wrong = nights.point();
        assert_eq!(wrong, [""; 0], "seed {seed}, night {night}");
    }
}

/// `KOPI_DOCKA_ADVERSARY=1000` for as many rounds of three points, `KOPI_DOCKA_TREES=/mnt/xfs` for another file system.
#[test]
fn no_point_is_wrong_whatever_happens_to_the_tree() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds = number("KOPI_DOCKA_ADVERSARY").unwrap_or(6);
    let first =
        number("KOPI_DOCKA_ADVERSARY_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let (mut paths, mut proven, mut torn, mut cloned) = (0, 0, 0, 0);
    for seed in (first..).take(usize::try_from(rounds).unwrap()) {
        let mut nights = Nights::new();
        one(&mut nights, seed);
        paths += nights.paths;
        proven += nights.proven;
        cloned += nights.cloned;
        torn += nights.torn;
    }
    println!(
        "{} points, {paths} paths, {proven} of them not read in the window, {cloned} cloned there, {torn} passes done again",
        3 * rounds
    );
    assert!(proven > 0, "a proof that nothing passes proves nothing");
}
