//! Values under keys that are never given out twice.

/// Names a queue of an [`Outbox`](crate::outbox::Outbox) or a stream of a [`Fanout`](crate::fanout::Fanout); never names a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotKey {
    index: u32,
    generation: u32,
}

/// Values under keys that are never given out twice.
#[derive(Debug)]
pub(crate) struct Slots<V> {
    places: Vec<(u32, Option<V>)>,
    free: Vec<u32>,
    len: usize,
}

impl<V> Slots<V> {
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new(), len: 0 }
    }

    pub(crate) fn insert(&mut self, value: V) -> SlotKey {
        self.len += 1;
        if let Some(index) = self.free.pop()
            && let Some((generation, place)) = self.places.get_mut(index as usize)
        {
            *place = Some(value);
            return SlotKey { index, generation: *generation };
        }
        self.places.push((0, Some(value)));
        SlotKey { index: (self.places.len() - 1) as u32, generation: 0 }
    }

    pub(crate) fn remove(&mut self, key: SlotKey) -> Option<V> {
        let (generation, place) = self.places.get_mut(key.index as usize)?;
        if *generation != key.generation {
            return None;
        }
        let value = place.take()?;
        self.len -= 1;
        // A place whose generations are used up stays empty: its old keys must name nothing.
        if let Some(next) = generation.checked_add(1) {
            *generation = next;
            self.free.push(key.index);
        }
        Some(value)
    }

    pub(crate) fn at_mut(&mut self, key: SlotKey) -> Option<&mut V> {
        let (generation, place) = self.places.get_mut(key.index as usize)?;
        if *generation == key.generation { place.as_mut() } else { None }
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (SlotKey, &mut V)> {
        self.places.iter_mut().enumerate().filter_map(|(index, (generation, place))| {
            let key = SlotKey { index: index as u32, generation: *generation };
            place.as_mut().map(|value| (key, value))
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}
