// Preact, its hooks and htm, which are classic scripts of index.html, as one module.
export const { render } = preact;
export const { useEffect, useRef, useState } = preactHooks;
export const html = htm.bind(preact.h);
