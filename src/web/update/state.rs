//! What is in the two slots of a device, and which of them starts next. Values only: what each event does to them. The file
//! with the state is written by `update`.

use super::bundle::unhex;
use crate::web::digest::hex;

const FIRST_LINE: &str = "lockgate update state 1";

/// One of the two slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

/// How far the primary slot's image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlotStatus {
    /// Nothing is installed.
    Empty,
    /// It is installed, and was not started yet.
    Pending,
    /// It was started, and is not marked as good.
    Tried,
    /// It is marked as good.
    Good,
}

/// An image in a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub version: u64,
    pub sha256: [u8; 32],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub primary: Slot,
    pub status: SlotStatus,
    /// The slot whose image was last marked as good.
    pub good: Option<Slot>,
    /// How often the primary slot was started without being marked as good.
    pub bootcount: u32,
    pub images: [Option<Image>; 2],
}

impl Slot {
    pub(super) fn other(self) -> Slot {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }

    fn letter(self) -> &'static str {
        match self {
            Slot::A => "a",
            Slot::B => "b",
        }
    }

    /// The name of the slot's file.
    pub(super) fn file_name(self) -> &'static str {
        match self {
            Slot::A => "slot-a.img",
            Slot::B => "slot-b.img",
        }
    }

    fn read(letter: &str) -> Option<Slot> {
        [Slot::A, Slot::B].into_iter().find(|slot| slot.letter() == letter)
    }
}

impl State {
    pub(super) const EMPTY: State =
        State { primary: Slot::A, status: SlotStatus::Empty, good: None, bootcount: 0, images: [None, None] };

    pub(super) fn image(&self, slot: Slot) -> Option<&Image> {
        self.images[slot as usize].as_ref()
    }

    /// The version below which nothing is installed.
    pub(super) fn good_version(&self) -> Option<u64> {
        Some(self.image(self.good?)?.version)
    }

    /// The slot for a new image: never the good one, and never the one that runs. `None` when there is no other.
    pub(super) fn free_slot(&self) -> Option<Slot> {
        match (self.status, self.good) {
            (SlotStatus::Tried, Some(_)) => None,
            (_, Some(good)) => Some(good.other()),
            (SlotStatus::Empty, None) => Some(Slot::A),
            (_, None) => Some(self.primary.other()),
        }
    }

    /// The state while the image in `slot` is replaced: it is not started then.
    pub(super) fn clearing(mut self, slot: Slot) -> State {
        self.images[slot as usize] = None;
        match self.good {
            Some(good) => State { primary: good, status: SlotStatus::Good, bootcount: 0, ..self },
            None => self,
        }
    }

    pub(super) fn installed(mut self, slot: Slot, image: Image) -> State {
        self.images[slot as usize] = Some(image);
        State { primary: slot, status: SlotStatus::Pending, bootcount: 0, ..self }
    }

    /// The state after a start. The image is not started once more when it was started `limit` times without being marked as
    /// good, if there is a good one.
    pub(super) fn started(self, limit: u32) -> State {
        match (self.status, self.good) {
            (SlotStatus::Empty | SlotStatus::Good, _) => self,
            (_, Some(_)) if self.bootcount >= limit => self.rolled_back(),
            _ => State { status: SlotStatus::Tried, bootcount: self.bootcount.saturating_add(1), ..self },
        }
    }

    /// The state with the good image as the primary one, if there is one.
    pub(super) fn rolled_back(self) -> State {
        match self.good {
            Some(good) => State { primary: good, status: SlotStatus::Good, bootcount: 0, ..self },
            None => self,
        }
    }

    /// The state after the running image was found good. An image that was not started yet is not the one that runs.
    pub(super) fn marked_good(self) -> State {
        match self.status {
            SlotStatus::Tried => {
                State { status: SlotStatus::Good, good: Some(self.primary), bootcount: 0, ..self }
            }
            _ => self,
        }
    }

    pub(super) fn write(&self) -> String {
        let status = match self.status {
            SlotStatus::Empty => "empty",
            SlotStatus::Pending => "pending",
            SlotStatus::Tried => "tried",
            SlotStatus::Good => "good",
        };
        let good = self.good.map_or("-", Slot::letter);
        let image = |slot: Slot| match self.image(slot) {
            Some(Image { version, sha256 }) => format!("{version} {}", hex(sha256)),
            None => "-".to_string(),
        };
        format!(
            "{FIRST_LINE}\nprimary {}\nstatus {status}\ngood {good}\nbootcount {}\na {}\nb {}\nend\n",
            self.primary.letter(),
            self.bootcount,
            image(Slot::A),
            image(Slot::B)
        )
    }

    pub(super) fn read(text: &str) -> Option<State> {
        let lines: Vec<&str> = text.split('\n').collect();
        let [FIRST_LINE, primary, status, good, bootcount, a, b, "end", ""] = *lines else { return None };
        let image = |text: &str| -> Option<Option<Image>> {
            if text == "-" {
                return Some(None);
            }
            let (version, sha256) = text.split_once(' ')?;
            Some(Some(Image { version: version.parse().ok()?, sha256: unhex(sha256)? }))
        };
        Some(State {
            primary: Slot::read(primary.strip_prefix("primary ")?)?,
            status: match status.strip_prefix("status ")? {
                "empty" => SlotStatus::Empty,
                "pending" => SlotStatus::Pending,
                "tried" => SlotStatus::Tried,
                "good" => SlotStatus::Good,
                _ => return None,
            },
            good: match good.strip_prefix("good ")? {
                "-" => None,
                letter => Some(Slot::read(letter)?),
            },
            bootcount: bootcount.strip_prefix("bootcount ")?.parse().ok()?,
            images: [image(a.strip_prefix("a ")?)?, image(b.strip_prefix("b ")?)?],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(version: u64) -> Image {
        Image { version, sha256: [version as u8; 32] }
    }

    fn install(state: State, version: u64) -> State {
        let slot = state.free_slot().unwrap();
        state.clearing(slot).installed(slot, image(version))
    }

    #[test]
    fn a_state_is_read_as_it_was_written_and_only_whole() {
        let state = install(install(State::EMPTY, 1).started(3).marked_good(), 2).started(3);
        let text = state.write();
        assert_eq!(State::read(&text), Some(state));
        for length in 0..text.len() {
            assert_eq!(State::read(&text[..length]), None);
        }
        assert_eq!(State::read(&State::EMPTY.write()), Some(State::EMPTY));
    }

    #[test]
    fn a_new_image_is_good_when_it_says_so_and_replaces_the_older_one_then() {
        let first = install(State::EMPTY, 1);
        assert_eq!((first.primary, first.status), (Slot::A, SlotStatus::Pending));
        // The program that installs is not the image that it installs.
        assert_eq!(first.clone().marked_good(), first);
        let first = first.started(3).marked_good();
        assert_eq!((first.status, first.good), (SlotStatus::Good, Some(Slot::A)));
        // A good one is not counted, however often it starts.
        assert_eq!((0..10).fold(first.clone(), |state, _| state.started(3)), first);
        let second = install(first, 2);
        assert_eq!(
            (second.primary, second.status, second.good),
            (Slot::B, SlotStatus::Pending, Some(Slot::A))
        );
        // Before it is started, another may take its place.
        let third = install(second, 3);
        assert_eq!(
            (third.primary, third.image(Slot::A), third.image(Slot::B)),
            (Slot::B, Some(&image(1)), Some(&image(3)))
        );
        let third = third.started(3);
        assert_eq!(third.free_slot(), None, "the good one is never replaced while another is on trial");
        let third = third.marked_good();
        assert_eq!((third.good, third.free_slot()), (Some(Slot::B), Some(Slot::A)));
    }

    #[test]
    fn an_image_that_does_not_come_up_is_rolled_back() {
        let good = install(State::EMPTY, 1).started(3).marked_good();
        let mut state = install(good.clone(), 2);
        for count in 1..=3 {
            state = state.started(3);
            assert_eq!((state.primary, state.status, state.bootcount), (Slot::B, SlotStatus::Tried, count));
        }
        state = state.started(3);
        assert_eq!((state.primary, state.status, state.bootcount), (Slot::A, SlotStatus::Good, 0));
        // Where there is no other, there is nothing to go back to.
        let only = (0..10).fold(install(State::EMPTY, 1), |state, _| state.started(3));
        assert_eq!((only.primary, only.status, only.bootcount), (Slot::A, SlotStatus::Tried, 10));
        assert_eq!(only.clone().rolled_back(), only);
        assert_eq!(only.free_slot(), Some(Slot::B));
    }
}
