/* journal.h - which names and inodes may differ from the layers, noted when they change.
 *
 * Two lists threaded through the tables of the view, so that noting costs a few stores and allocates
 * nothing. Names are noted in the root and in directories that have something below, inodes when they
 * came from a layer; what is new inside a new directory is found by way of that directory. change.c folds the lists.
 */
#pragma once

struct inode;
struct view;

#include <stdint.h>

/* `name` means something else than before, in directory `dir`. */
void journal_note_name(struct view *v, const struct inode *dir, uint32_t name);
/* Metadata, content or extended attributes of `i` changed; it may be a mount point's no more. */
void journal_note_inode(struct view *v, struct inode *i);
/* The slot is about to be released. */
void journal_drop_name(struct view *v, uint32_t name);
void journal_drop_inode(struct view *v, struct inode *i);
