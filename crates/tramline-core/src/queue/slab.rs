//! Parts of all waiting frames in one place, chained per frame: frames of any length without a list each.

use std::time::Instant;

const NONE: u32 = u32::MAX;

/// Storage for the parts of every frame of a queue. Freed places are used again before it grows.
#[derive(Debug)]
pub(super) struct Slab<T> {
    nodes: Vec<Node<T>>,
    free: u32,
}

#[derive(Debug)]
struct Node<T> {
    part: Option<T>,
    entered: Option<Instant>,
    next: u32,
}

/// The parts of one frame, first to last. Belongs to the slab that filled it.
#[derive(Debug)]
pub(super) struct Chain {
    head: u32,
    tail: u32,
}

impl Chain {
    pub(super) const fn new() -> Self {
        Self { head: NONE, tail: NONE }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.head == NONE
    }
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { nodes: Vec::new(), free: NONE }
    }

    /// Appends to `chain`.
    pub(super) fn push(&mut self, chain: &mut Chain, part: T, entered: Instant) {
        let node = Node { part: Some(part), entered: Some(entered), next: NONE };
        let index = match self.nodes.get_mut(self.free as usize) {
            Some(place) => {
                let index = self.free;
                self.free = place.next;
                *place = node;
                index
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        };
        match self.nodes.get_mut(chain.tail as usize) {
            Some(tail) => tail.next = index,
            None => chain.head = index,
        }
        chain.tail = index;
    }

    /// Takes the first part of `chain`.
    pub(super) fn pop(&mut self, chain: &mut Chain) -> Option<T> {
        let index = chain.head;
        let node = self.nodes.get_mut(index as usize)?;
        let part = node.part.take();
        chain.head = node.next;
        if chain.head == NONE {
            chain.tail = NONE;
        }
        node.next = self.free;
        self.free = index;
        part
    }

    /// Looks at the first part of `chain`.
    pub(super) fn first(&self, chain: &Chain) -> Option<&T> {
        self.nodes.get(chain.head as usize)?.part.as_ref()
    }

    /// When the first part of `chain` was pushed.
    pub(super) fn first_entered(&self, chain: &Chain) -> Option<Instant> {
        self.nodes.get(chain.head as usize)?.entered
    }

    /// Frees every part of `chain`.
    pub(super) fn clear(&mut self, chain: &mut Chain) {
        while self.pop(chain).is_some() {}
    }

    /// Places that were ever in use at once.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.nodes.len()
    }
}
