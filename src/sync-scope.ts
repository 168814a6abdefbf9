export interface SyncScope {
	x: 1;
}
