// SPDX-License-Identifier: Apache-2.0
// What was said in each room, and who is there on which instance.  All of it is bounded.
const MAX_ROOMS = 200;
const MAX_MESSAGES = 100;

export class Rooms {
  #rooms = new Map(); // name -> {messages, people: instance -> names}; the one used last comes last

  #room(name) {
    const room = this.#rooms.get(name) ?? { messages: [], people: new Map() };
    this.#rooms.delete(name);
    this.#rooms.set(name, room);
    for (const [old, { people }] of this.#rooms) {
      if (this.#rooms.size <= MAX_ROOMS) break;
      if (people.size === 0) this.#rooms.delete(old);
    }
    return room;
  }

  /** Keeps a message, in order of time; false: it was there already. */
  add(name, message) {
    const { messages } = this.#room(name);
    if (messages.some(({ id }) => id === message.id)) return false;
    let at = messages.length;
    while (at > 0 && messages[at - 1].at > message.at) at--;
    messages.splice(at, 0, message);
    if (messages.length > MAX_MESSAGES) messages.shift();
    return true;
  }

  messages(name) {
    return this.#rooms.get(name)?.messages ?? [];
  }

  all() {
    return [...this.#rooms].map(([name, { messages }]) => [name, messages]);
  }

  setPeople(name, instance, names) {
    if (names.length) this.#room(name).people.set(instance, names);
    else this.#rooms.get(name)?.people.delete(instance);
  }

  /** Everyone in a room, on whichever instance; a name once, however often it is open. */
  people(name) {
    return [...new Set([...this.#rooms.get(name)?.people.values() ?? []].flat())].sort((a, b) => a.localeCompare(b));
  }

  peopleOf(instance) {
    return [...this.#rooms].filter(([, { people }]) => people.has(instance)).map(([name, { people }]) => [name, people.get(instance)]);
  }

  /** An instance is gone: the rooms in which somebody was on it. */
  forget(instance) {
    const touched = this.peopleOf(instance).map(([name]) => name);
    for (const name of touched) this.#rooms.get(name).people.delete(instance);
    return touched;
  }
}
