/** Token counts by text, bounded by the characters of the texts: the least recently used go first. */

export class CountCache {
  private readonly counts = new Map<string, number>();
  private chars = 0;

  constructor(private readonly maxChars: number) {}

  has(text: string): boolean {
    return this.counts.has(text);
  }

  get(text: string): number | undefined {
    const count = this.counts.get(text);
    if (count === undefined) return undefined;
    // A Map keeps the order of insertion: the last used goes to the end.
    this.counts.delete(text);
    this.counts.set(text, count);
    return count;
  }

  set(text: string, count: number): void {
    this.chars += this.counts.has(text) ? 0 : text.length;
    this.counts.set(text, count);
    for (const oldest of this.counts.keys()) {
      if (this.chars <= this.maxChars) break;
      this.counts.delete(oldest);
      this.chars -= oldest.length;
    }
  }

  clear(): void {
    this.counts.clear();
    this.chars = 0;
  }
}
