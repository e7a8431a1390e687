/**
 * Makes elements, and brings those on the page up to date with them.
 *
 * Text only ever becomes a text node: nothing that a vendor or an operator wrote is read as HTML.
 */

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. Attributes that are null, undefined or false are left out; strings among `children` are text. */
export function h(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same, of SVG. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
  return element;
}

const LONGEST = 400;

/** Text from outside: by itself as to writing direction, broken anywhere, and not endless. */
export function foreign(text, longest = LONGEST) {
  const letters = String(text ?? "");
  return h("bdi", { class: "foreign" }, letters.length > longest ? `${letters.slice(0, longest)}…` : letters);
}

/**
 * Make `old` what `fresh` is, and keep every node that can stay: so focus, selection and what is open survive.
 * What a reader has opened or typed (`open`, `value`, `checked`) is the reader's.
 */
export function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || key(old) !== key(fresh)) {
    old.replaceWith(fresh);
    return fresh;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return old;
  }
  for (const { name } of [...old.attributes]) {
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  fill(old, [...fresh.childNodes]);
  return old;
}

/** Make these the children of `parent`, in this order, keeping what can stay. */
export function fill(parent, children) {
  const kept = new Map();
  for (const child of parent.children) if (key(child)) kept.set(key(child), child);
  let place = parent.firstChild;
  for (const fresh of children) {
    let mine = key(fresh) ? kept.get(key(fresh)) : place && !key(place) ? place : null;
    if (!mine) {
      parent.insertBefore(fresh, place);
      continue;
    }
    if (mine === place) place = place.nextSibling;
    else parent.insertBefore(mine, place);
    if (mine !== fresh) mine = morph(mine, fresh);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function key(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null;
}

/** Set text, only where it differs: whoever watches the page is told of real changes. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
