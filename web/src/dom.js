export const $ = (id) => document.getElementById(id);

/** Make an element: `make("p", { className: "note" }, "text", child)`; strings are never HTML. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
