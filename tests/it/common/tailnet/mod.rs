//! A tailnet of a test's own: real machines' Tailscale, each in namespaces of its own, with a control server that knows nobody else.
//!
//! - [`Tailnet::start`]: the control server with its relay, in a network that reaches nothing but its nodes.
//! - [`Tailnet::nodes`]: machines of the tailnet, logged in. [`Node::inside`] runs a program on one: its network, its names, its `/etc`, its
//!   `tailscale`; [`Node::run`] and [`Node::tailscale`] start from there.
//! - [`Node::ssh`]: the SSH server that each has, with all that can be wrong with it.
//!
//! - [`Tailnet::machine`]: a whole machine with systemd, in it.
//!
//! Reading order: `host` (namespaces, and what runs in them) → `control` → `member` → `node` → `ssh`, `machine`.
//!
//! A node sees the files, the processes and the Docker engine of this machine: only what a network is made of is its own. What is
//! mounted here after it has started, it does not see.

mod control;
mod host;
mod machine;
mod member;
mod node;
mod ssh;

pub use machine::Joined;
pub use member::Member;
pub use node::Node;
pub use ssh::Ssh;

use std::cell::RefCell;
use std::rc::Rc;

use super::server::Folder;
use super::systemd::Machine;
use control::Control;

/// Gone when it and all of its nodes are dropped.
pub struct Tailnet {
    shared: Rc<Shared>,
}

struct Shared {
    // Before the folder: what runs in it ends first.
    control: RefCell<Control>,
    folder: Folder,
}

impl Tailnet {
    /// Takes no second; each node takes three.
    #[track_caller]
    pub fn start() -> Self {
        let folder = Folder::new("tailnet");
        let control = RefCell::new(Control::start(&folder.path("control")));
        Self {
            shared: Rc::new(Shared { control, folder }),
        }
    }

    /// A machine that is logged in and called `name`: letters, digits and `-`.
    #[track_caller]
    pub fn node(&self, name: &str) -> Node {
        let [node] = self.nodes([name]);
        node
    }

    /// Several. Each sees all others online, and has found the straight way to them.
    #[track_caller]
    pub fn nodes<const N: usize>(&self, names: [&str; N]) -> [Node; N] {
        let mut nodes = names.map(|name| Node::new(&self.shared, name));
        // One after the other: of several at the same moment one waits for ever, now and then.
        for node in &mut nodes {
            node.until_started();
            node.login();
        }
        let mut pings = Vec::new();
        for (node, next) in nodes.iter().zip(1..) {
            for other in nodes.iter().filter(|other| other.name() != node.name()) {
                node.until_sees(other, true);
            }
            // Each pair once.
            pings.extend(nodes[next..].iter().map(|other| node.spawn_ping(other)));
        }
        for ping in pings {
            ping.ok();
        }
        nodes
    }

    /// A [`Machine::with_tailscale`] that is logged in as `name`.
    #[track_caller]
    pub fn machine<'a>(&self, machine: &'a Machine, name: &str) -> Joined<'a> {
        Joined::new(&self.shared, machine, name)
    }

    /// Nobody answers at the control server's address, nor at the relay's, which is the same.
    pub fn stop_control(&self) {
        self.shared.control.borrow_mut().stop();
    }

    /// It is there again, with all that it knew.
    #[track_caller]
    pub fn start_control(&self) {
        self.shared.control.borrow_mut().serve();
    }

    /// The key of `node` has run out, as it does after half a year, and it knows that.
    #[track_caller]
    pub fn expire(&self, node: &Node) {
        self.shared.control.borrow().expire(node.name());
        node.until("lost its key", |status| {
            status["BackendState"] == "NeedsLogin"
        });
    }
}
