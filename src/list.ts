/** What a {@link List} can hold; one list at a time. */
export interface Linked {
	previous: Linked | undefined;
	next: Linked | undefined;
}

/** A doubly linked list through its members: adding one allocates nothing, and any can leave at once. */
export class List<T extends Linked> {
	last: T | undefined;

	push(member: T): void {
		const { last } = this;
		const linked: Linked = member;
		linked.previous = last;
		if (last !== undefined) last.next = member;
		this.last = member;
	}

	remove(member: T): void {
		const { previous, next } = member;
		if (previous !== undefined) previous.next = next;
		if (next !== undefined) next.previous = previous;
		else this.last = previous as T | undefined; // members link to members
		member.previous = undefined;
		member.next = undefined;
	}

	/** From the first to the last. */
	toArray(): T[] {
		const members: T[] = [];
		// members link to members
		for (let at = this.last; at !== undefined; at = at.previous as T | undefined) members.push(at);
		return members.reverse();
	}
}
